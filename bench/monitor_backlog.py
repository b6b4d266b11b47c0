"""A backlog for the monitor and, beside it, for faust with a Table; then single alerts. One lab and one backlog for all
rounds; each has a consumer group and a database of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

from bench.harness import Spread, repeat
from bench.monitor_events import send
from bench.monitor_latency import alert_latencies
from datalab.local.layout import LabLayout
from datalab.local.parts.postgres import embedded_url
from datalab.local.state import LabState
from tests.integration.monitor.parts import Monitor, monitor
from tests.support.lab_parts import fresh_database, lab_parts

_MONITOR_CORE, _OTHER_CORE = 0, 1
_BEGIN_S, _WINDOW_S = 40.0, 6.0
_ROUNDS_S = 80.0  # a loaded machine gets fewer rounds rather than none
_LOOK_EVERY_S = 1.0
_QUIET = {"MONITOR_GAUGES_EVERY_S": "600"}


class _Look(NamedTuple):
    """What was handled by then, and the processor time that it took."""

    at: float
    handled: int
    cpu_s: float


def backlog_figures(repeats: int, runs: int, tell: Callable[[Mapping[str, Spread]], None]) -> None:
    """Figures of so many rounds over a backlog of so many runs, told as soon as they are known."""
    with (
        tempfile.TemporaryDirectory(prefix="datalab-bench-") as folder,
        lab_parts(Path(folder), ["topics", "migrations"]) as lab,
    ):
        home, kafka = Path(folder), f"127.0.0.1:{lab.parts['kafka'].ports['kafka']}"
        server = embedded_url(LabLayout.at(home))
        events = asyncio.run(send(kafka, runs))
        pin_others(lab)

        def once(_: int) -> Mapping[str, float]:
            figures = _monitored(home, kafka, fresh_database(server), events)
            plain, lingering = _peer(kafka, events, home, 0.0), _peer(kafka, events, home, 0.02)
            return figures | {
                "faust_table_events_per_s": plain["events_per_s"],
                "faust_table_cpu_us_per_event": plain["cpu_us_per_event"],
                "faust_lingering_events_per_s": lingering["events_per_s"],
                "ratio_vs_faust_table": figures["events_per_s"] / plain["events_per_s"],
                "ratio_vs_faust_lingering": figures["events_per_s"] / lingering["events_per_s"],
                # What is left of the ratio where other work takes its share of the core.
                "cpu_ratio_vs_faust_table": plain["cpu_us_per_event"] / figures["cpu_us_per_event"],
            }

        tell(repeat(repeats, once, within_s=_ROUNDS_S))
        with monitor(home, kafka, server, _group(), **_QUIET) as process:
            pin_monitor(process)
            asyncio.run(process.caught_up())
            tell(repeat(repeats, lambda _: _latencies(kafka), within_s=_ROUNDS_S / 3))


def _monitored(home: Path, kafka: str, database: str, events: int) -> dict[str, float]:
    with monitor(home, kafka, database, _group(), **_QUIET) as process:
        pin_monitor(process)
        return asyncio.run(_backlog(process, events))


async def _backlog(process: Monitor, events: int) -> dict[str, float]:
    """From the first look at which something was handled to the last before all was, or the window's end. A look costs
    the monitor some 20 ms of its core, so there are few."""
    measured = psutil.Process(process.process.pid)
    looks = list[_Look]()
    deadline = time.monotonic() + _BEGIN_S
    while not looks or looks[-1].at < looks[0].at + _WINDOW_S:
        look = _Look(time.perf_counter(), await handled(process), sum(measured.cpu_times()[:2]))
        if look.handled >= events and len(looks) > 1:
            break
        if look.handled:
            looks.append(look)
        elif time.monotonic() > deadline:
            raise TimeoutError(f"the monitor does not begin:\n{process.log.read_text()[-2000:]}")
        if look.handled >= events:
            break
        await asyncio.sleep(_LOOK_EVERY_S if looks else _LOOK_EVERY_S / 5)
    first, last = looks[0], looks[-1]
    if (count := last.handled - first.handled) <= 0:
        raise RuntimeError(f"{last.handled} of {events} events were handled, none of them between two looks")
    return {
        "events_per_s": count / (last.at - first.at),
        "cpu_us_per_event": (last.cpu_s - first.cpu_s) * 1e6 / count,
        "memory_mib": measured.memory_info().rss / 2**20,
    }


async def handled(process: Monitor) -> int:
    """How many states of runs it has handled, 0 while it does not answer."""
    try:
        text = (await process.get("/metrics")).text
    except httpx.TransportError:
        return 0
    return sum(
        int(float(n)) for n in re.findall(r'^datalab_monitor_events_total\{type="lab\.run.*\} (\S+)$', text, re.M)
    )


def _peer(kafka: str, events: int, folder: Path, linger_s: float) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.faust_table", kafka, str(events), str(_WINDOW_S), str(linger_s)]
    try:
        done = subprocess.run(
            [*command, str(folder / f"faust-{uuid.uuid4().hex[:8]}")], capture_output=True, text=True, check=False,
            timeout=_BEGIN_S + _WINDOW_S + 10, preexec_fn=lambda: os.sched_setaffinity(0, {_MONITOR_CORE}),
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        sys.exit(f"the peer hangs: {str(error.stderr)[-2000:]}")
    if done.returncode:
        sys.exit(f"the peer failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _latencies(kafka: str) -> dict[str, float]:
    latencies = asyncio.run(alert_latencies(kafka))
    return {
        "event_to_alert_p50_ms": latencies[len(latencies) // 2],
        "event_to_alert_p95_ms": latencies[int(len(latencies) * 0.95)],
    }


def _group() -> str:
    return f"bench-{uuid.uuid4().hex[:8]}"


def pin_monitor(process: Monitor) -> None:
    """Hold the monitor to its core."""
    _pin(process.process.pid, _MONITOR_CORE)


def pin_others(lab: LabState) -> None:
    """Hold broker and database to the other one."""
    for part in ("kafka", "postgres"):
        _pin(_pid(lab, part), _OTHER_CORE)


def _pid(lab: LabState, part: str) -> int:
    pid = lab.parts[part].pid
    assert pid is not None
    return pid


def _pin(pid: int, core: int) -> None:
    """Hold every thread of a process and its children to one core."""
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        for thread in process.threads():
            os.sched_setaffinity(thread.id, {core})
