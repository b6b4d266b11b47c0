"""The monitor: events a second from Kafka to run history and alert states, on one core; from event to alert; the flow.

The peer in the same round is one faust agent with one Table, on that same core, over the same records; broker and
database have the other core. Keys: events_per_s, ratio_vs_faust_table, event_to_alert_p95_ms, flow_s,
flow_three_hanging_s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import httpx
import psutil

from bench.harness import repeat, report
from bench.monitor_events import send
from bench.monitor_flow import flow_figures
from bench.monitor_latency import alert_latencies
from datalab.local.layout import LabLayout
from datalab.local.parts.postgres import embedded_url
from datalab.local.state import LabState
from tests.integration.monitor.parts import Monitor, monitor
from tests.support.lab_parts import lab_parts

KEYS = ("events_per_s", "ratio_vs_faust_table", "event_to_alert_p95_ms", "flow_s", "flow_three_hanging_s")
_MONITOR_CORE, _OTHER_CORE = 0, 1
_PATIENCE_S = 280.0


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--runs", type=int, default=50_000, help="of each round; two events each")
    parser.add_argument("--part", choices=("events", "flow"), help="only this one")
    given = parser.parse_args()

    def measure(_: int) -> Mapping[str, float]:
        figures = {} if given.part == "flow" else once(given.runs)
        return figures if given.part == "events" else {**figures, **flow_figures()}

    spreads = repeat(given.repeats, measure)
    report("monitor", spreads, [key for key in KEYS if key in spreads])


def once(runs: int) -> dict[str, float]:
    """One round, on a lab of its own: a backlog for the monitor, the same one for the peer, then single alerts."""
    with (
        tempfile.TemporaryDirectory(prefix="datalab-bench-") as folder,
        lab_parts(Path(folder), ["topics", "migrations"]) as lab,
    ):
        home, kafka = Path(folder), f"127.0.0.1:{lab.parts['kafka'].ports['kafka']}"
        events = asyncio.run(send(kafka, runs))
        for part in ("kafka", "postgres"):
            _pin(_pid(lab, part), _OTHER_CORE)
        with monitor(
            home, kafka, embedded_url(LabLayout.at(home)), f"bench-{uuid.uuid4().hex[:8]}", MONITOR_GAUGES_EVERY_S="600"
        ) as process:
            _pin(process.process.pid, _MONITOR_CORE)
            figures = asyncio.run(_backlog(process, events))
            latencies = asyncio.run(alert_latencies(kafka))
        print(f"monitor: {figures}, alerts after {latencies[len(latencies) // 2]:.0f} ms", file=sys.stderr, flush=True)
        peer = _peer(kafka, events)
    return {
        **figures,
        "faust_table_events_per_s": peer,
        "ratio_vs_faust_table": figures["events_per_s"] / peer,
        "event_to_alert_p50_ms": latencies[len(latencies) // 2],
        "event_to_alert_p95_ms": latencies[int(len(latencies) * 0.95)],
    }


async def _backlog(process: Monitor, events: int) -> dict[str, float]:
    """From the first look at which something was handled until all was."""
    measured = psutil.Process(process.process.pid)
    begun: tuple[float, int, float] | None = None
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        at, done, cpu_s = time.perf_counter(), await _handled(process), sum(measured.cpu_times()[:2])
        if begun is None and done:
            begun = (at, done, cpu_s)
        if begun and done >= events:
            count = done - begun[1]
            return {
                "events_per_s": count / (at - begun[0]),
                "cpu_us_per_event": (cpu_s - begun[2]) * 1e6 / count,
                "memory_mib": measured.memory_info().rss / 2**20,
            }
        await asyncio.sleep(0.25)
    raise TimeoutError(f"{events} events were not handled in {_PATIENCE_S:.0f} s:\n{process.log.read_text()[-2000:]}")


async def _handled(process: Monitor) -> int:
    try:
        text = (await process.get("/metrics")).text
    except httpx.TransportError:
        return 0
    return sum(
        int(float(n)) for n in re.findall(r'^datalab_monitor_events_total\{type="lab\.run.*\} (\S+)$', text, re.M)
    )


def _peer(kafka: str, events: int) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "bench.faust_table", kafka, str(events)],
        capture_output=True, text=True, check=False, preexec_fn=lambda: os.sched_setaffinity(0, {_MONITOR_CORE}),
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"the peer failed:\n{done.stderr[-3000:]}")
    return float(json.loads(done.stdout.splitlines()[-1])["events_per_s"])


def _pid(lab: LabState, part: str) -> int:
    pid = lab.parts[part].pid
    assert pid is not None
    return pid


def _pin(pid: int, core: int) -> None:
    """Hold every thread of a process and its children to one core."""
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        for thread in process.threads():
            os.sched_setaffinity(thread.id, {core})


if __name__ == "__main__":
    main()
