"""From the ledger to Kafka: publishes pending rows until none is left. A crash repeats an event, never loses one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

from datalab.bus.publisher import RecordRef, RecordRefusedError
from datalab.bus.retry import RetryPolicy
from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import database_is_down
from datalab.store.tables.ingest import FileRow
from schemas.envelope import Event
from services.ingest.file_event import file_event
from services.ingest.ledger import Ledger, mark_published, mark_refused
from services.ingest.metrics import FILES_PUBLISHED

log = get_logger(__name__)
_BATCH = 200
_LOOK_AGAIN_S = 5.0


class EventPublisher(Protocol):
    """Where events go; returns only once they are stored."""

    async def publish(self, event: Event) -> RecordRef:
        """Publish one event. Raises OSError (also TimeoutError) while the broker is away."""


class Outbox:
    """Publishes what the ledger holds as pending, oldest first."""

    def __init__(self, ledger: Ledger, publisher: EventPublisher, clock: Clock) -> None:
        self._ledger, self._publisher, self._clock = ledger, publisher, clock
        self._retry = RetryPolicy(first_s=0.5, longest_s=10.0)
        self._due = asyncio.Event()
        self._fault: str | None = None

    def wake(self) -> None:
        """A row was added."""
        self._due.set()

    async def check(self) -> str | None:
        """Readiness: None, or why arrivals are not published."""
        return self._fault

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop` is set; outages are waited out."""
        attempt = 0
        while not stop.is_set():
            self._due.clear()
            try:
                while not stop.is_set() and await self._publish_some() == _BATCH:
                    pass
                self._fault, attempt = None, 0
                pause = _LOOK_AGAIN_S
            except Exception as error:
                attempt += 1
                self._fault = f"{type(error).__name__}: arrivals wait in the ledger"
                expected = isinstance(error, OSError) or database_is_down(error)
                log.warning("outbox.waiting", attempt=attempt, reason=_reason(error), exc_info=not expected)
                pause = self._retry.delay_s(attempt)
                # New rows are no reason to try a broker sooner that was away a moment ago.
                self._due.clear()
            await self._wait(stop, pause, interruptible=attempt == 0)

    async def _publish_some(self) -> int:
        async with self._ledger.claim_pending(_BATCH) as rows:
            results = await asyncio.gather(*(self._publish(row) for row in rows), return_exceptions=True)
        # Raised only after the block: what was published is marked even if the rest was not.
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return len(rows)

    async def _publish(self, row: FileRow) -> None:
        try:
            ref = await self._publisher.publish(file_event(row))
        except (RecordRefusedError, ValueError) as error:
            mark_refused(row, f"its event cannot be published: {_reason(error)}", self._clock.now())
            log.warning("file.unpublishable", path=row.path, event_id=row.event_id, reason=_reason(error))
            return
        mark_published(row, *ref, self._clock.now())
        FILES_PUBLISHED.inc()
        log.info("file.published", path=row.path, dataset=row.dataset, event_id=row.event_id, at=str(ref))

    async def _wait(self, stop: asyncio.Event, seconds: float, *, interruptible: bool) -> None:
        waiting = {asyncio.create_task(stop.wait())}
        if interruptible:
            waiting.add(asyncio.create_task(self._due.wait()))
        _, pending = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
