"""Records from Kafka to their end: stored, or in the dead letters. Returns only then, so that the caller may commit
their offsets. An outage of the database is waited for; it never skips a record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from datalab.bus.batch import TakenRecord
from datalab.bus.deadletters import DeadLetters
from datalab.bus.faults import Fault
from datalab.bus.retry import RetryPolicy
from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from services.monitor import metrics
from services.monitor.reading import Occurrence, UnreadableError, read

log = get_logger(__name__)
Legible = tuple[TakenRecord, Occurrence]
_SLICE = 50


class Read(NamedTuple):
    """Records that were read: what happened by them, and those that can never be handled, with the reason."""

    legible: list[Legible]
    illegible: list[tuple[TakenRecord, Fault]]


class Intake:
    """Takes records to their end. `effect` stores what events mean, all or nothing, and may be called again for the
    same events."""

    def __init__(
        self,
        group: str,
        effect: Callable[[Sequence[Occurrence]], Awaitable[None]],
        dead_letters: DeadLetters,
        retry: RetryPolicy,
        clock: Clock,
    ) -> None:
        self._group, self._effect, self._dead_letters, self._retry = group, effect, dead_letters, retry
        self._clock = clock

    async def read(self, records: Sequence[TakenRecord]) -> Read:
        """Reads them, and lets others get on in between: the batch before is stored meanwhile."""
        now, read_ = self._clock.now(), Read([], [])
        for number, record in enumerate(records, 1):
            try:
                occurrence = read(record, now)
            except UnreadableError as error:
                read_.illegible.append((record, Fault.of(error, self._group, 1, "decode")))
            else:
                if occurrence is not None:
                    read_.legible.append((record, occurrence))
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        return read_

    async def store(self, read_: Read) -> None:
        """Tries until each record is stored or buried; raises nothing but CancelledError."""
        for record, fault in read_.illegible:
            await self._bury(record, fault)
        if read_.legible:
            await self._store(read_.legible)

    async def _store(self, legible: Sequence[Legible]) -> None:
        """All in one transaction. One that cannot be stored must not take the others with it: then one by one."""
        fault = await self._stored(legible)
        if fault is None:
            return
        if len(legible) == 1:
            await self._bury(legible[0][0], fault)
            return
        log.warning("batch.divided", at=str(legible[0][0].ref), events=len(legible), reason=fault.reason)
        for one in legible:
            await self._store([one])

    async def _stored(self, legible: Sequence[Legible]) -> Fault | None:
        """None once the effect is durable, or why it can never be."""
        attempt, first = 0, legible[0][0].ref
        while True:
            attempt += 1
            try:
                await self._effect([occurrence for _, occurrence in legible])
            except Exception as error:
                # Several that fail for another reason than an outage are tried again one by one.
                if self._retry.gives_up(error, self._retry.attempts if len(legible) > 1 else attempt):
                    return replace(Fault.of(error, self._group, attempt), reason=_one_line(error))
                metrics.RETRIES.inc()
                log.warning("event.retry", at=str(first), events=len(legible), attempt=attempt, reason=_one_line(error))
                await asyncio.sleep(self._retry.delay_s(attempt))
            else:
                return None

    async def _bury(self, record: TakenRecord, fault: Fault) -> None:
        attempt, ref = 0, record.ref
        while True:
            attempt += 1
            try:
                await self._dead_letters.bury(ref, fault, record.encoded())
            except Exception as error:  # whatever the broker's client raises, the record must not be lost
                log.warning("deadletter.retry", at=str(ref), attempt=attempt, reason=_one_line(error))
                await asyncio.sleep(self._retry.delay_s(attempt))
            else:
                metrics.DEAD.labels(ref.topic).inc()
                log.error("event.dead", at=str(ref), reason=fault.reason)
                return


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
