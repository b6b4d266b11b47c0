"""Tells owners that their subscription was switched off, is on again, or is gone, by an alert as any other.

The mark that something is to be told lies in the subscription's row, written with the switching, and for one that was
removed in a row of its own; it goes once Kafka has the event. A crash in between publishes again, under the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.bus.publisher import Publisher
from datalab.runtime.logs import get_logger
from datalab.store.engine import Sessions
from datalab.store.tables.notifier import NoticeRow, SubscriptionRow
from schemas.alerts import AlertFiring, AlertResolved
from schemas.envelope import Event, event_id, new_event
from services.notifier.wishes import OWNED_RULE

log = get_logger(__name__)
_BATCH = 100


class Notices:
    """Publishes them; looks every `poll_s` seconds, since it happens rarely and hurries nobody."""

    def __init__(self, sessions: Sessions, publisher: Publisher, *, poll_s: float = 2.0) -> None:
        self._sessions, self._publisher, self._poll_s = sessions, publisher, poll_s

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop` is set."""
        while not stop.is_set():
            try:
                await self.publish()
            except Exception as error:
                log.warning("notices.retry", reason=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._poll_s)

    async def publish(self) -> int:
        """Publish what is to be told; returns how many."""
        switched = select(SubscriptionRow).where(SubscriptionRow.notice.is_not(None)).limit(_BATCH)
        gone = select(NoticeRow).order_by(NoticeRow.created_at).limit(_BATCH)
        async with self._sessions.begin() as session:
            rows = (await session.scalars(switched.with_for_update(skip_locked=True))).all()
            for row in rows:
                await self._publisher.publish(notice(row))
                if row.notice == "resolved":
                    row.disabled_at = None
                row.notice = None
            kept = (await session.scalars(gone.with_for_update(skip_locked=True))).all()
            for one in kept:
                await self._publisher.publish(Event.model_validate(one.event))
                await session.delete(one)
            return len(rows) + len(kept)


async def leave_notice(session: AsyncSession, row: SubscriptionRow) -> None:
    """The subscription is about to be removed: who heard that it was switched off is to hear that this is over."""
    if row.disabled_at is None or row.notice == "firing":
        return  # nobody has heard anything
    row.notice, row.updated_at = "resolved", (await session.execute(select(func.now()))).scalar_one()
    event = notice(row)
    session.add(NoticeRow(event_id=event.id, event=event.model_dump(mode="json")))


def notice(row: SubscriptionRow) -> Event:
    """The alert about a subscription. Its label `owner` says whose it is; an address there gets a mail."""
    since = row.disabled_at or row.updated_at
    fingerprint = event_id(OWNED_RULE, row.id)
    values: dict[str, Any] = {
        "fingerprint": fingerprint,
        "episode": f"{fingerprint}:{since.isoformat()}",
        "rule": OWNED_RULE,
        "severity": "error",
        "summary": f"Webhook subscription {row.name} was switched off",
        "labels": {"subscription": row.name, **({"owner": row.owner} if row.owner else {})},
        "starts_at": since,
    }
    if row.notice == "resolved":
        data: AlertFiring | AlertResolved = AlertResolved(**values, ends_at=row.updated_at)
    else:
        description = (
            f"{row.disabled_reason or 'It was switched off'}. What it misses is kept: once the endpoint is well, "
            f"switch it on and send again what it missed: datalab subscriptions enable {row.name}, then "
            f"datalab deliveries replay --target {row.name}."
        )
        data = AlertFiring(**values, description=description)
    return new_event(data, source="datalab/notifier", id=event_id(row.id, str(row.notice), since.isoformat()))
