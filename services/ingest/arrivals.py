"""Watching the landing directory: list, be told, wait until complete, hand over. It reads no file, publishes nothing.

The periodic listing and the ledger are the truth, so nothing is missed while the service is down; notices from the
kernel only spare the wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from services.ingest.dataset_file import DatasetFile
from services.ingest.dealing import Dealing
from services.ingest.ledger import ledger_path
from services.ingest.listing import Found, Listing, list_landing, look_at
from services.ingest.metrics import FILES_WAITING, SCAN_SECONDS
from services.ingest.notices import Notices
from services.ingest.settling import Settling
from services.ingest.watching import Watch

log = get_logger(__name__)
# A file system tells times of change in steps of a few milliseconds. A file is read once a step has passed since its
# change: written to after that, it shows another time. It also joins the notices of a burst into one look.
_STEP_S = 0.02
# Listing a large tree again and again must leave most of a core to others.
_SHARE_OF_TIME = 5.0


class Arrivals:
    """One watch of one landing directory."""

    def __init__(
        self, root: Path, datasets: DatasetFile, settling: Settling, dealing: Dealing, clock: Clock, interval_s: float
    ) -> None:
        self._root, self._datasets, self._settling, self._dealing = root, datasets, settling, dealing
        self._clock, self._interval_s = clock, interval_s
        self._fault: str | None = "the landing directory was not listed yet"
        self._known_faults: dict[str, str] = {}
        self._told: set[str] = set()

    async def check(self) -> str | None:
        """Readiness: None, or why arrivals are not noticed."""
        return self._fault or await self._dealing.check()

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set. No file and no outage ends it."""
        loop, told = asyncio.get_running_loop(), asyncio.Event()

        def woken() -> None:
            loop.call_soon_threadsafe(told.set)

        watch = Watch(Notices(woken))
        try:
            due = earliest = 0.0
            while not stop.is_set():
                if time.monotonic() >= due:
                    took_s = await self._look(watch)
                    earliest = time.monotonic() + took_s * _SHARE_OF_TIME
                    due = max(earliest, time.monotonic() + self._interval_s)
                await self._dealing.start()
                await _first((stop, told, self._dealing.more), max(0.0, due - time.monotonic()))
                if told.is_set():
                    await asyncio.sleep(_STEP_S)
                    told.clear()
                    if await self._hear(watch):
                        due = min(due, earliest)
                    if self._told:
                        told.set()
        finally:
            await asyncio.to_thread(watch.close)
            await self._dealing.close()

    async def _look(self, watch: Watch) -> float:
        """List everything; returns the seconds that it took."""
        begun = time.monotonic()
        try:
            with SCAN_SECONDS.time():
                listing = await asyncio.to_thread(self._list, watch)
        except OSError as error:
            self._note_fault(f"the landing directory cannot be listed: {error.strerror or error}")
            return time.monotonic() - begun
        self._note_fault(None)
        self._note_unlistable(listing.faults)
        seen = {path: found.stamp for path, found in listing.found.items()}
        ready = self._settling.observe(seen, self._clock.monotonic())
        FILES_WAITING.set(self._settling.waiting)
        self._dealing.only(listing.found)
        self._dealing.add(listing.found, ready)
        return time.monotonic() - begun

    def _list(self, watch: Watch) -> Listing:
        self._datasets.refresh()
        listing = list_landing(self._root)
        watch.follow(listing.directories)
        return listing

    async def _hear(self, watch: Watch) -> bool:
        """Take in what the kernel told; returns whether everything should be listed."""
        heard = watch.notices.take()
        self._told.update(heard.completed)
        found = await asyncio.to_thread(look_at, self._told, self._root)
        fresh = {path for path, file in found.items() if self._is_fresh(file)}
        old = {path: file for path, file in found.items() if path not in fresh}
        ready = self._settling.complete({path: file.stamp for path, file in old.items()}, self._clock.monotonic())
        self._dealing.add(old, ready)
        self._told = fresh
        return heard.look

    def _is_fresh(self, file: Found) -> bool:
        return 0 <= self._clock.now().timestamp() - file.stamp.mtime_ns / 1e9 < _STEP_S

    def _note_fault(self, fault: str | None) -> None:
        if fault is not None and fault != self._fault:
            log.warning("landing.unlistable", reason=fault)
        self._fault = fault

    def _note_unlistable(self, faults: dict[str, str]) -> None:
        for directory, fault in faults.items():
            if self._known_faults.get(directory) != fault:
                log.warning("directory.refused", path=ledger_path(directory), reason=fault)
        self._known_faults = faults


async def _first(events: tuple[asyncio.Event, ...], seconds: float) -> None:
    """Wait until one of the events is set, or the time is over."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*waiting, return_exceptions=True)
