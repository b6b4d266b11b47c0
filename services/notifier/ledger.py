"""The ledger's write side: deliveries are stored, claimed, and brought to an end. Each method is one transaction.

All times are the database's own, so that instances with differing clocks agree on what is due.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.engine import Sessions
from datalab.store.tables.notifier import AttemptRow, DeliveryRow, SubscriptionRow
from schemas.envelope import Event
from services.notifier.delivery import Delivery, Result
from services.notifier.retries import Decision
from services.notifier.routing import Alert, Planned, Routing, Wish
from services.notifier.statements import (
    CLAIM,
    after,
    alert_upsert,
    claimed,
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

    async def claim(self, places: int, per_target: int, busy: Collection[str]) -> list[Delivery]:
        """Claim up to `places` due deliveries, at most `per_target` of each target, none of the busy targets."""
        parameters = {
            "places": places,
            "per_target": per_target,
            "busy": list(busy),
            "lease": timedelta(seconds=self.lease_s),
        }
        async with self._sessions.begin() as session:
            return [claimed(row) for row in (await session.execute(CLAIM, parameters)).all()]

    async def record(self, delivery: Delivery, result: Result, decision: Decision, duration_s: float) -> bool:
        """Record the attempt and what follows; False if the claim had passed to another, who decides instead."""
        async with self._sessions.begin() as session:
            held = await session.execute(still_held(delivery).values(after(decision, result)))
            if not held.rowcount:  # type: ignore[attr-defined]  # a CursorResult, which execute() does not say
                return False
            session.add(
                AttemptRow(
                    delivery_id=delivery.id,
                    attempt=delivery.attempt,
                    outcome=type(decision).__name__.lower(),
                    status_code=result.status_code,
                    reason=result.reason,
                    duration_ms=round(duration_s * 1000),
                )
            )
            if result.gone and delivery.subscription_id:
                await session.execute(disable(delivery.subscription_id, "the receiver answered 410 Gone"))
            return True

    async def suppress(self, delivery: Delivery, reason: str) -> bool:
        """End a claimed delivery unsent, with the reason; False if the claim had passed to another."""
        values = {
            "status": "suppressed",
            "reason": reason,
            "claimed_until": None,
            "finished_at": func.now(),
        }
        async with self._sessions.begin() as session:
            result = await session.execute(still_held(delivery).values(values))
            return bool(result.rowcount)  # type: ignore[attr-defined]  # as above

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
