"""One record from Kafka to its end: decoded and stored, or in the dead letters. Returns only then, so that the
caller may commit the offset. An outage of the database is waited for; it never skips a record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pydantic import ValidationError

from datalab.bus.deadletters import DeadLetters
from datalab.bus.faults import Fault
from datalab.bus.publisher import RecordRef
from datalab.bus.retry import RetryPolicy
from datalab.runtime.logs import get_logger
from schemas.codec import CodecError, EncodedRecord, decode
from schemas.envelope import Event
from services.monitor import metrics
from services.monitor.timeliness import FutureTimeError

log = get_logger(__name__)


class Intake:
    """Takes records to their end. `effect` stores what an event means and may be called again for the same event."""

    def __init__(
        self,
        group: str,
        effect: Callable[[Event], Awaitable[None]],
        dead_letters: DeadLetters,
        retry: RetryPolicy,
    ) -> None:
        self._group, self._effect, self._dead_letters, self._retry = group, effect, dead_letters, retry

    async def take(
        self, ref: RecordRef, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> None:
        """Tries until the record is stored or buried; raises nothing but CancelledError."""
        reason = await self._stored(ref, key, value, headers)
        if reason is not None:
            await self._bury(ref, reason, EncodedRecord(key, value or b"", headers))

    async def _stored(
        self, ref: RecordRef, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> str | None:
        """None once the effect is durable, or why it can never be."""
        try:
            event = decode(key, value, headers)
        except CodecError as error:
            return str(error)
        attempt = 0
        while True:
            attempt += 1
            try:
                await self._effect(event)
            except ValidationError as error:
                return _of_payload(error)
            except FutureTimeError as error:
                return str(error)
            except Exception as error:
                if self._retry.gives_up(error, attempt):
                    return _one_line(error)
                metrics.RETRIES.inc()
                log.warning("event.retry", at=str(ref), event_id=event.id, attempt=attempt, reason=_one_line(error))
                await asyncio.sleep(self._retry.delay_s(attempt))
            else:
                return None

    async def _bury(self, ref: RecordRef, reason: str, record: EncodedRecord) -> None:
        attempt = 0
        while True:
            attempt += 1
            try:
                await self._dead_letters.bury(ref, Fault(self._group, reason), record)
            except Exception as error:  # whatever the broker's client raises, the record must not be lost
                log.warning("deadletter.retry", at=str(ref), attempt=attempt, reason=_one_line(error))
                await asyncio.sleep(self._retry.delay_s(attempt))
            else:
                metrics.DEAD.labels(ref.topic).inc()
                log.error("event.dead", at=str(ref), reason=reason)
                return


def _of_payload(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"data.{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
