"""Dealing with complete files: does the ledger know it, else read it, decide, and note the decision. Side by side, so
that a large file holds up no small one; many at a time in each question to the ledger.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import database_is_down
from services.ingest.inspection import Arrived, Changed, Refused, Vanished, Verdict
from services.ingest.ledger import Ledger, Status, ledger_path
from services.ingest.listing import Found
from services.ingest.metrics import FILES
from services.ingest.recorder import Recorder
from services.ingest.settling import Settling

log = get_logger(__name__)
# How many complete files are dealt with at once; the others wait their turn.
_AT_ONCE = 512
Inspect = Callable[[Found, threading.Event], Verdict]


class Dealing:
    """The files of one tree that are complete. `added` is called after each new arrival in the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        settling: Settling,
        clock: Clock,
        inspect: Inspect,
        added: Callable[[], None],
        *,
        threads: int,
    ) -> None:
        self._ledger, self._settling, self._clock, self._inspect, self._added = ledger, settling, clock, inspect, added
        self._recorder = Recorder(ledger)
        self._due: dict[str, Found] = {}
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._fault: str | None = None
        self._stopping = threading.Event()
        # Its own threads: a file of many gigabytes must not hold those that other parts of the process need.
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="hash")
        self.more = asyncio.Event()

    async def check(self) -> str | None:
        """Readiness: None, or why decisions cannot be noted."""
        return self._fault

    async def close(self) -> None:
        """End what is under way; what is not noted yet is dealt with after the next start."""
        self._stopping.set()
        await asyncio.gather(*self._busy.values(), return_exceptions=True)
        self._readers.shutdown(wait=True, cancel_futures=True)

    def add(self, files: Mapping[str, Found], ready: Sequence[str]) -> None:
        """These of the files are complete; those under way go on as they are."""
        self._due.update((path, files[path]) for path in ready if path not in self._busy)

    def only(self, files: Mapping[str, Found]) -> None:
        """There are no other files any more."""
        for path in self._due.keys() - files.keys():
            del self._due[path]
        if not self._settling.waiting:
            self._fault = None

    async def start(self) -> None:
        """Begin with as many as there is room for, leaving out those that the ledger knows."""
        self.more.clear()
        room = _AT_ONCE - len(self._busy)
        # In blocks: a question to the ledger for each file that ends would be as slow as one file at a time.
        while self._due and room >= min(len(self._due), _AT_ONCE // 2):
            files = [self._due.pop(path) for path in list(self._due)[:room]]
            if not await self._begin(files):
                return
            room = _AT_ONCE - len(self._busy)

    async def _begin(self, files: Sequence[Found]) -> bool:
        try:
            known = await self._ledger.known(files)
        except Exception as error:
            for file in files:
                self._settling.postpone(file.path, self._clock.monotonic())
            self._note_ledger(error)
            return False
        self._note_ledger(None)
        for file in files:
            if file.path in known:
                self._settling.done(file.path, file.stamp)
            else:
                task = asyncio.create_task(self._deal_with(file), name=f"file {ledger_path(file.path)}")
                self._busy[file.path] = task
        return True

    async def _deal_with(self, file: Found) -> None:
        try:
            await self._decide(file)
        except Exception as error:
            self._settling.postpone(file.path, self._clock.monotonic())
            self._note_ledger(error, path=ledger_path(file.path))
        finally:
            del self._busy[file.path]
            self.more.set()

    async def _decide(self, file: Found) -> None:
        verdict = await asyncio.get_running_loop().run_in_executor(self._readers, self._inspect, file, self._stopping)
        match verdict:
            case Changed() | Vanished():
                self._settling.restart(file.path, file.stamp)
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

    def _note_ledger(self, error: Exception | None, **about: str) -> None:
        """Say once that the ledger is away; each fault that is no outage with its trace."""
        if error is None:
            self._fault = None
            return
        fault = f"the ledger cannot be used: {type(error).__name__}"
        if not database_is_down(error):
            log.error("file.postponed", exc_info=error, **about)
        elif fault != self._fault:
            log.warning("ledger.away", reason=str(error)[:300], **about)
        self._fault = fault
