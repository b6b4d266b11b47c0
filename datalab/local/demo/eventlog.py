"""The lab's topics as one growing list: waits for an event that fits, with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import NamedTuple, Self

from datalab.bus.publisher import RecordRef
from datalab.bus.reader import read_events
from datalab.runtime.logs import get_logger
from schemas.envelope import Event

log = get_logger(__name__)
Fits = Callable[[Event], bool]


class Seen(NamedTuple):
    """An event and where on Kafka it is."""

    ref: RecordRef
    event: Event


class EventLog:
    """Follows topics from `since` on; an async context manager. A lost broker is followed again from there."""

    def __init__(self, bootstrap: str, topics: Sequence[str], since: datetime) -> None:
        self._bootstrap, self._topics, self._since = bootstrap, topics, since
        self._seen: dict[RecordRef, Event] = {}
        self._grown = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name="event log")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def all(self, fits: Fits) -> list[Seen]:
        """Every event so far that fits, in the order it was read."""
        return [Seen(ref, event) for ref, event in self._seen.items() if fits(event)]

    async def first(self, fits: Fits, timeout_s: float) -> Seen:
        """The first event that fits; raises TimeoutError."""
        async with asyncio.timeout(timeout_s), self._grown:
            while not (found := self.all(fits)):
                await self._grown.wait()
            return found[0]

    async def _follow(self) -> None:
        while True:
            try:
                async for ref, event in read_events(self._bootstrap, self._topics, since=self._since, follow=True):
                    async with self._grown:
                        self._seen.setdefault(ref, event)
                        self._grown.notify_all()
            except Exception as error:  # whatever broke the connection, the reading starts again
                log.warning("eventlog.reconnecting", reason=str(error))
            await asyncio.sleep(1)
