"""The monitor's memory over two million events: states of runs of 10,000 deployments, each run once, as they come in.

`python -m bench.monitor_memory [--events N]`; writes `bench/results/monitor-memory.json`. The last line has the keys
`events`, `memory_at_a_tenth_mib`, `memory_at_the_end_mib`, `memory_growth_percent`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import psutil

from bench.harness import Spread, report
from bench.monitor_backlog import handled, pin_monitor, pin_others
from bench.monitor_events import DEPLOYMENTS, states
from datalab.bus.publisher import Publisher
from datalab.bus.sending import Addressed
from datalab.local.layout import LabLayout
from datalab.local.parts.postgres import embedded_url
from schemas.codec import EncodedRecord, encode
from tests.integration.monitor.parts import Monitor, monitor
from tests.support.lab_parts import lab_parts

_AT_ONCE, _AHEAD = 2_000, 100_000
_FIRST = 0.1  # of the events, after which memory is taken to have come to its height
_WITHIN_S = 1_500.0


def memory_figures(events: int) -> dict[str, Spread]:
    """MiB after a tenth of the events and after all, the highest in between, and the growth in percent."""
    with (
        tempfile.TemporaryDirectory(prefix="datalab-bench-") as folder,
        lab_parts(Path(folder), ["topics", "migrations"]) as lab,
    ):
        home, kafka = Path(folder), f"127.0.0.1:{lab.parts['kafka'].ports['kafka']}"
        pin_others(lab)
        with monitor(home, kafka, embedded_url(LabLayout.at(home)), "bench-memory") as process:
            pin_monitor(process)
            seen = asyncio.run(_watched(process, kafka, events))
    first, last = seen[0], seen[-1]
    return {
        "events": Spread((float(events),)),
        "memory_at_a_tenth_mib": Spread((first,)),
        "memory_at_the_end_mib": Spread((last,)),
        "memory_highest_mib": Spread((max(seen),)),
        "memory_growth_percent": Spread(((last / first - 1) * 100,)),
    }


async def _watched(process: Monitor, kafka: str, events: int) -> list[float]:
    """Resident MiB at each look, from a tenth of the events on."""
    measured, seen, sent, told = psutil.Process(process.process.pid), list[float](), 0, 0
    records, begun = _records(events), time.monotonic()
    async with Publisher(kafka, "bench") as publisher:
        while (done := await handled(process)) < events:
            if time.monotonic() > begun + _WITHIN_S:
                raise TimeoutError(f"{done} of {events} events were handled within {_WITHIN_S:g} s")
            while sent < min(events, done + _AHEAD):
                some = list(islice(records, min(_AT_ONCE, events - sent)))
                await publisher.publish_all(some)
                sent += len(some)
            if done >= events * _FIRST:
                seen.append(measured.memory_info().rss / 2**20)
            if done >= told + events / 20:
                told = done
                print(f"{done} events: {measured.memory_info().rss / 2**20:.0f} MiB", file=sys.stderr, flush=True)
            await asyncio.sleep(1.0)
    return [*seen, measured.memory_info().rss / 2**20]


def _records(events: int) -> Iterator[Addressed]:
    """As many as are asked for, written down once and then given other runs."""
    written = [encode(event) for event in states(DEPLOYMENTS)]
    for number in range(-(-events // len(written))):
        for key, value, headers in written:
            run = b"run-%d-" % number
            given = [(name, text.replace(b"run-", run) if name == "ce_subject" else text) for name, text in headers]
            given = [(name, b"%d-%s" % (number, text) if name == "ce_id" else text) for name, text in given]
            yield "lab.runs", EncodedRecord(key, value.replace(b'"run-', b'"' + run), given)


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    keys = ("events", "memory_at_a_tenth_mib", "memory_at_the_end_mib", "memory_growth_percent")
    report("monitor-memory", memory_figures(parser.parse_args().events), keys)


if __name__ == "__main__":
    main()
