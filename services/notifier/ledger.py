"""The ledger's write side: deliveries are stored, claimed, and brought to an end. Each method is one transaction.

All times are the database's own, so that instances with differing clocks agree on what is due.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.engine import Sessions
from datalab.store.tables.notifier import DeliveryRow, SubscriptionRow
from schemas.envelope import Event
from services.notifier.claims import CLAIM, claim_parameters, claimed
from services.notifier.delivery import Delivery
from services.notifier.recording import RECORD, record_parameters
from services.notifier.retries import Attempted
from services.notifier.routing import Alert, Planned, Routing, Wish
from services.notifier.statements import (
    alert_upsert,
    delivery_row,
    disable,
    still_held,
    unreported_pattern,
)


class Ledger:
    """Deliveries in Postgres. Raises what the database raises; see `datalab.store.engine.database_is_down`."""

    def __init__(self, sessions: Sessions, *, lease_s: float) -> None:
        self._sessions, self.lease_s = sessions, lease_s

    async def store(self, event: Event, alert: Alert | None, routing: Routing) -> int:
        """Store the alert and every delivery the event is due, in one transaction; returns how many were new."""
        async with self._sessions.begin() as session:
            planned = routing.plan(event, alert, await _wishes(session))
            if alert is not None:
                await session.execute(alert_upsert(event, alert))
            return await _insert(session, event, alert, planned)

    async def store_for(self, event: Event, planned: Planned) -> None:
        """Store one delivery that does not come from routing, such as a test message."""
        async with self._sessions.begin() as session:
            await _insert(session, event, None, [planned])

    async def claim(self, places: int, per_target: int, load: Mapping[str, int]) -> list[Delivery]:
        """Claim up to `places` due deliveries, of each target at most `per_target` less its present load."""
        parameters = claim_parameters(places, per_target, load, self.lease_s)
        async with self._sessions.begin() as session:
            return [claimed(row) for row in (await session.execute(CLAIM, parameters)).all()]

    async def record(self, attempted: Sequence[Attempted]) -> set[str]:
        """Record attempts and what follows; returns the ids of those whose claim still held. About the others
        somebody else decides, who has claimed them since."""
        async with self._sessions.begin() as session:
            held = set((await session.scalars(RECORD, record_parameters(attempted))).all())
            for one in attempted:
                if one.result.gone and one.delivery.subscription_id and one.delivery.id in held:
                    await session.execute(disable(one.delivery.subscription_id, "the receiver answered 410 Gone"))
            return held

    async def release(self, delivery: Delivery) -> None:
        """Give a claim back at once, instead of when its lease ends."""
        async with self._sessions.begin() as session:
            await session.execute(still_held(delivery).values(claimed_until=None))

    async def replay(self, delivery_id: str) -> None:
        """Make a finished delivery due again under the same id, with all of its retries."""
        statement = (
            update(DeliveryRow)
            .where(DeliveryRow.id == delivery_id, DeliveryRow.status != "pending")
            .values(
                status="pending",
                reason=None,
                status_code=None,
                finished_at=None,
                claimed_until=None,
                next_attempt_at=func.now(),
                attempts_before=DeliveryRow.attempts,
                outcome_published=DeliveryRow.event_type.regexp_match(unreported_pattern()),
            )
        )
        async with self._sessions.begin() as session:
            await session.execute(statement)

    async def remove_subscription(self, subscription_id: str) -> bool:
        """Delete it; what was still due to it ends suppressed, in the same transaction. False if there is none."""
        async with self._sessions.begin() as session:
            row = await session.get(SubscriptionRow, subscription_id, with_for_update=True)
            if row is None:
                return False
            await session.execute(
                update(DeliveryRow)
                .where(DeliveryRow.subscription_id == subscription_id, DeliveryRow.status == "pending")
                .values(
                    status="suppressed",
                    reason=f"subscription {row.name} was removed",
                    claimed_until=None,
                    finished_at=func.now(),
                )
            )
            await session.execute(delete(SubscriptionRow).where(SubscriptionRow.id == subscription_id))
            return True


async def _wishes(session: AsyncSession) -> Sequence[Wish]:
    rows = (await session.scalars(select(SubscriptionRow))).all()
    return [Wish(row.id, row.name, tuple(row.event_types), refusal(row)) for row in rows]


def refusal(row: SubscriptionRow) -> str | None:
    """Why the subscription takes nothing now; None if it does."""
    if row.active:
        return None
    return f"subscription {row.name} is disabled: {row.disabled_reason or 'switched off by its owner'}"


async def _insert(session: AsyncSession, event: Event, alert: Alert | None, planned: Sequence[Planned]) -> int:
    if not planned:
        return 0
    rows = [delivery_row(event, alert, one) for one in planned]
    statement = insert(DeliveryRow).values(rows).on_conflict_do_nothing().returning(DeliveryRow.id)
    return len((await session.scalars(statement)).all())
