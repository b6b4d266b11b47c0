"""`python -m bench.files`: how soon a file is an event on Kafka, and how long 10,000 of them take.

One ingest process on a broker and a database of their own, loopback only. Keys of the last line: `file_to_event_p50_s`
(from the rename that completes a small file to its event in a consumer's hands), `files_10k_s` (from the first write of
10,000 small files to the last one's event there), `files_rss_growth_mib` (peak memory meanwhile, above that before),
`files_rss_growth_again_mib` (the same for the next 10,000, when the first are gone: what it does not give back).
The limits that they stand beside are 0.15 s and 60 s.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.harness import repeat, report
from datalab.bus.reader import read_records
from datalab.local.control import start_in_background, stop, wait_until_ready
from datalab.local.layout import LabLayout
from datalab.local.state import LabState
from schemas.codec import decode

FILES = 10_000
_SINGLE = 60
_KEYS = (
    "files_10k_s",
    "file_to_event_p50_s",
    "file_to_event_p95_s",
    "files_rss_growth_mib",
    "files_rss_growth_again_mib",
    "idle_cpu_pct",
)
_PARTS = ("topics", "ingest")


def measure() -> dict[str, float]:
    """All figures once, on a lab of their own; about a minute."""
    with tempfile.TemporaryDirectory(prefix="bench-files-") as home, _lab(Path(home)) as state:
        bootstrap = f"127.0.0.1:{state.parts['kafka'].ports['kafka']}"
        pid = state.parts["ingest"].pid
        if pid is None:
            sys.exit("ingest has no process")
        dataset = Path(home) / "lab" / "landing" / "bench"
        dataset.mkdir(parents=True, exist_ok=True)
        return asyncio.run(_measure(bootstrap, psutil.Process(pid), dataset))


async def _measure(bootstrap: str, ingest: psutil.Process, dataset: Path) -> dict[str, float]:
    seen = _Seen()
    listening = asyncio.create_task(seen.listen(bootstrap))
    try:
        await _one(seen, dataset, "warm-up")
        ingest.cpu_percent()
        await asyncio.sleep(5)
        idle = ingest.cpu_percent()
        latencies = sorted([await _one(seen, dataset, f"single-{number}") for number in range(_SINGLE)])
        took, growth = await _burst(seen, ingest, dataset, "first")
        await asyncio.to_thread(_remove, dataset)
        # The kernel tells in order: once this file is an event, ingest has heard that the others are gone.
        await _one(seen, dataset, "after")
        _, growth_again = await _burst(seen, ingest, dataset, "again")
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    return {
        "files_10k_s": took,
        "file_to_event_p50_s": statistics.median(latencies),
        "file_to_event_p95_s": latencies[int(len(latencies) * 0.95)],
        "files_rss_growth_mib": growth,
        "files_rss_growth_again_mib": growth_again,
        "idle_cpu_pct": idle,
    }


class _Seen:
    """The names of files whose events came, and when each came first."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self._many: Counter[str] = Counter()
        self._more = asyncio.Event()

    async def listen(self, bootstrap: str) -> None:
        async for record in read_records(bootstrap, ["lab.files"], follow=True):
            name = decode(record.key, record.value, record.headers).data["name"]
            if name not in self.at:
                self.at[name] = time.monotonic()
                self._many[name.partition("-")[0]] += 1
                self._more.set()

    async def one(self, name: str, within_s: float) -> float:
        await self._until(lambda: name in self.at, within_s)
        return self.at[name]

    async def many(self, name: str, count: int, within_s: float) -> None:
        await self._until(lambda: self._many[name] >= count, within_s)

    async def _until(self, so: Callable[[], bool], within_s: float) -> None:
        async with asyncio.timeout(within_s):
            while not so():
                self._more.clear()
                await self._more.wait()


async def _burst(seen: _Seen, ingest: psutil.Process, dataset: Path, name: str) -> tuple[float, float]:
    """Seconds until the last of many files is an event; MiB by which the memory grew at its peak."""
    before, begun = ingest.memory_info().rss, time.monotonic()
    with _peak(ingest) as peak:
        await asyncio.to_thread(_write, dataset, name)
        await seen.many(name, FILES, 300)
    return time.monotonic() - begun, (max(peak) - before) / 2**20


async def _one(seen: _Seen, dataset: Path, name: str) -> float:
    """Seconds from the rename that completes a file to its event."""
    # At another moment of ingest's rounds each time, and not while it is still busy with the last one.
    await asyncio.sleep(0.1 + 0.37 * (len(seen.at) % 7) / 7)
    part = dataset / f".{name}.csv.part"
    part.write_text(f"a,b\n{name},1\n")
    await asyncio.sleep(0.05)
    begun = time.monotonic()
    part.rename(dataset / f"{name}.csv")
    return await seen.one(f"{name}.csv", 30) - begun


def _write(dataset: Path, name: str) -> None:
    for number in range(FILES):
        (dataset / f"{name}-{number}.csv").write_text(f"a,b\n{number},1\n")


def _remove(dataset: Path) -> None:
    for path in dataset.iterdir():
        path.unlink()


@contextmanager
def _peak(process: psutil.Process) -> Iterator[list[int]]:
    """Resident memory in bytes, ten times a second."""
    samples, over = [process.memory_info().rss], threading.Event()

    def sample() -> None:
        while not over.wait(0.1):
            samples.append(process.memory_info().rss)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


@contextmanager
def _lab(home: Path) -> Iterator[LabState]:
    layout = LabLayout.at(home / "lab")
    environ = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    supervisor = start_in_background(layout, _PARTS, environ=environ, tied_to_us=True)
    try:
        yield wait_until_ready(layout, supervisor, seconds=120)
    finally:
        stop(layout)
        supervisor.communicate(timeout=30)


def main() -> None:
    """Measure, write the result, print the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often to measure (default: 1)")
    rounds = parser.parse_args().rounds
    report("files", repeat(rounds, lambda _: measure()), _KEYS)


if __name__ == "__main__":
    main()
