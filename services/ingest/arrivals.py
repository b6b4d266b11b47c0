"""Watching the landing directory: list, wait until complete, read, note in the ledger. It publishes nothing itself.

The periodic listing and the ledger are the truth, so nothing is missed while the service is down.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import database_is_down
from services.ingest.inspection import Arrived, Changed, Refused, Vanished, inspect
from services.ingest.ledger import Ledger, Status, ledger_path
from services.ingest.listing import Found, list_landing
from services.ingest.metrics import FILES, FILES_WAITING, SCAN_SECONDS
from services.ingest.recorder import Recorder
from services.ingest.settling import Settling

log = get_logger(__name__)
# How many complete files are dealt with at once; the others wait their turn in the listing.
_AT_ONCE = 256


class Arrivals:
    """One watch of one landing directory."""

    def __init__(
        self, root: Path, ledger: Ledger, settling: Settling, clock: Clock, added: Callable[[], None],
        *, interval_s: float, threads: int,
    ) -> None:  # fmt: skip
        self._root, self._ledger, self._settling, self._clock, self._added = root, ledger, settling, clock, added
        self._interval_s = interval_s
        self._recorder = Recorder(ledger)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._fault: str | None = "the landing directory was not listed yet"
        self._ledger_fault: str | None = None
        self._known_faults: dict[str, str] = {}
        self._stopping = threading.Event()
        # Its own threads: a file of many gigabytes must not hold those that other parts of the process need.
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="hash")

    async def check(self) -> str | None:
        """Readiness: None, or why arrivals are not noticed."""
        return self._fault or self._ledger_fault

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set. No file and no outage ends it."""
        try:
            while not stop.is_set():
                await self._look()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._interval_s)
        finally:
            self._stopping.set()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)
            self._readers.shutdown(wait=True, cancel_futures=True)

    async def _look(self) -> None:
        try:
            with SCAN_SECONDS.time():
                listing = await asyncio.to_thread(list_landing, self._root)
        except OSError as error:
            self._note_fault(f"the landing directory cannot be listed: {error.strerror or error}")
            return
        self._note_fault(None)
        self._note_unlistable(listing.faults)
        seen = {path: found.stamp for path, found in listing.found.items()}
        ready = self._settling.observe(seen, self._clock.monotonic())
        FILES_WAITING.set(self._settling.waiting)
        if not self._settling.waiting:
            self._ledger_fault = None
        await self._start([listing.found[path] for path in ready if path not in self._busy])

    async def _start(self, files: Sequence[Found]) -> None:
        """Begin with as many complete files as there is room for, leaving out those that the ledger knows."""
        room = files[: max(0, _AT_ONCE - len(self._busy))]
        if not room:
            return
        try:
            known = await self._ledger.known(room)
        except Exception as error:
            for file in room:
                self._settling.postpone(file.path, self._clock.monotonic())
            self._note_ledger(error)
            return
        self._note_ledger(None)
        for file in room:
            if file.path in known:
                self._settling.done(file.path, file.stamp)
            else:
                task = asyncio.create_task(self._deal_with(file), name=f"file {ledger_path(file.path)}")
                self._busy[file.path] = task

    async def _deal_with(self, file: Found) -> None:
        try:
            await self._decide(file)
        except Exception as error:
            self._settling.postpone(file.path, self._clock.monotonic())
            self._note_ledger(error, path=ledger_path(file.path))
        finally:
            del self._busy[file.path]

    async def _decide(self, file: Found) -> None:
        loop = asyncio.get_running_loop()
        verdict = await loop.run_in_executor(self._readers, inspect, file, self._root, self._stopping)
        match verdict:
            case Changed() | Vanished():
                self._settling.restart(file.path)
                log.debug("file.restarted", path=ledger_path(file.path), verdict=type(verdict).__name__)
            case Arrived() | Refused():
                status = await self._recorder.record(file, verdict)
                self._settling.done(file.path, file.stamp)
                self._tell(file, verdict, status)

    def _tell(self, file: Found, verdict: Arrived | Refused, status: Status) -> None:
        FILES.labels(status).inc()
        if isinstance(verdict, Refused):
            log.warning("file.refused", path=ledger_path(file.path), reason=verdict.reason)
            return
        log.info("file.noticed", path=file.path, event_id=verdict.event_id, status=status)
        self._added()

    def _note_fault(self, fault: str | None) -> None:
        if fault is not None and fault != self._fault:
            log.warning("landing.unlistable", reason=fault)
        self._fault = fault

    def _note_unlistable(self, faults: dict[str, str]) -> None:
        for directory, fault in faults.items():
            if self._known_faults.get(directory) != fault:
                log.warning("directory.refused", path=ledger_path(directory), reason=fault)
        self._known_faults = faults

    def _note_ledger(self, error: Exception | None, **about: str) -> None:
        """Say once that the ledger is away; each fault that is no outage with its trace."""
        if error is None:
            self._ledger_fault = None
            return
        fault = f"the ledger cannot be used: {type(error).__name__}"
        if not database_is_down(error):
            log.error("file.postponed", exc_info=error, **about)
        elif fault != self._ledger_fault:
            log.warning("ledger.away", reason=str(error)[:300], **about)
        self._ledger_fault = fault
