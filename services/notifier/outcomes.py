"""Reports what became of deliveries as events on `lab.notifications`, after the ledger's commit.

A crash between publishing and marking publishes again, under the same event id.
"""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import Row, select, update

from datalab.bus.publisher import Publisher
from datalab.runtime.logs import get_logger
from datalab.store.engine import Sessions
from datalab.store.tables.notifier import DeliveryRow
from schemas.catalog import topic_for
from schemas.codec import EncodedRecord, encode
from schemas.envelope import Event, event_id, new_event
from schemas.notifications import NotificationDelivered, NotificationFailed

log = get_logger(__name__)
_BATCH = 500
_GATHER_S = 0.05
_UNREPORTED = (
    select(
        DeliveryRow.id,
        DeliveryRow.status,
        DeliveryRow.channel,
        DeliveryRow.target,
        DeliveryRow.event_id,
        DeliveryRow.fingerprint,
        DeliveryRow.attempts,
        DeliveryRow.status_code,
        DeliveryRow.reason,
        DeliveryRow.correlation_id,
        DeliveryRow.finished_at,
        DeliveryRow.event["traceparent"].as_string().label("traceparent"),
    )
    .where(~DeliveryRow.outcome_published, DeliveryRow.status.in_(("delivered", "dead")))
    .order_by(DeliveryRow.finished_at)
    .limit(_BATCH)
    .with_for_update(skip_locked=True)
)


class Outcomes:
    """Publishes outcomes; woken by `finished`, and looking by itself now and then for what a crash left."""

    def __init__(
        self, sessions: Sessions, publisher: Publisher, finished: asyncio.Event, *, poll_s: float = 5.0
    ) -> None:
        self._sessions, self._publisher, self._finished, self._poll_s = sessions, publisher, finished, poll_s

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop` is set."""
        while not stop.is_set():
            try:
                self._finished.clear()
                if await self.publish_batch() == _BATCH:
                    continue
            except Exception as error:
                log.warning("outcomes.retry", reason=type(error).__name__)
                await _first(stop, asyncio.Event(), 1.0)
                continue
            await _first(stop, self._finished, self._poll_s)
            # Many end within a moment; one transaction for each would cost more than sending them.
            await _first(stop, asyncio.Event(), _GATHER_S)

    async def publish_batch(self) -> int:
        """Publish and mark some unreported outcomes; returns how many."""
        async with self._sessions.begin() as session:
            rows = (await session.execute(_UNREPORTED)).all()
            if not rows:
                return 0
            for failed in await self._publisher.publish_all([_record(row) for row in rows]):
                if isinstance(failed, Exception):
                    raise failed
            ids = [row.id for row in rows]
            await session.execute(update(DeliveryRow).where(DeliveryRow.id.in_(ids)).values(outcome_published=True))
            return len(rows)


def outcome(row: Row[Any]) -> Event:
    """The event that tells a finished delivery's end; a replay has another id, a repeat the same."""
    model = NotificationDelivered if row.status == "delivered" else NotificationFailed
    data = model(
        delivery_id=row.id,
        channel=row.channel,
        target=row.target,
        event_id=row.event_id,
        fingerprint=row.fingerprint,
        attempt=row.attempts,
        status_code=row.status_code,
        reason=row.reason,
    )
    return new_event(
        data,
        source="datalab/notifier",
        id=event_id(row.id, row.status, str(row.attempts)),
        causationid=row.event_id,
        correlationid=row.correlation_id,
        traceparent=row.traceparent,
        time=row.finished_at,
    )


def _record(row: Row[Any]) -> tuple[str, EncodedRecord]:
    event = outcome(row)
    return topic_for(event.type), encode(event)


async def _first(stop: asyncio.Event, other: asyncio.Event, timeout_s: float) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (stop, other)]
    await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
