"""The ledger's write side: deliveries are stored, claimed, and brought to an end. Each method is one transaction.

All times are the database's own, so that instances with differing clocks agree on what is due.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.engine import Sessions
from datalab.store.tables.notifier import AlertRow, AttemptRow, DeliveryRow, SubscriptionRow
from schemas.alerts import AlertResolved
from schemas.envelope import Event
from services.notifier.delivery import UNREPORTED, Delivery, Result
from services.notifier.retries import Dead, Decision, Delivered, Retry
from services.notifier.routing import Alert, Planned, Routing, Wish

# Of each target the oldest few that are due, but nothing that stands behind an older delivery of the same alert to the
# same target: "resolved" must not overtake "firing". SKIP LOCKED lets instances share the work without waiting.
_CLAIM = text("""
WITH ranked AS (
  SELECT id, row_number() OVER (PARTITION BY target_key ORDER BY next_attempt_at, created_at) AS place
  FROM notifier_deliveries d
  WHERE status = 'pending' AND next_attempt_at <= now() AND (claimed_until IS NULL OR claimed_until < now())
    AND target_key <> ALL(CAST(:busy AS text[]))
    AND (fingerprint IS NULL OR NOT EXISTS (
      SELECT 1 FROM notifier_deliveries e
      WHERE e.status = 'pending' AND e.target_key = d.target_key AND e.fingerprint = d.fingerprint
        AND e.created_at < d.created_at))
), free AS (
  SELECT d.id FROM notifier_deliveries d JOIN ranked USING (id)
  WHERE place <= CAST(:per_target AS bigint) AND d.status = 'pending' AND d.next_attempt_at <= now()
    AND (d.claimed_until IS NULL OR d.claimed_until < now())
  ORDER BY d.next_attempt_at LIMIT CAST(:places AS bigint) FOR UPDATE OF d SKIP LOCKED
)
UPDATE notifier_deliveries d
SET claimed_until = now() + CAST(:lease AS interval), attempts = attempts + 1
FROM free WHERE d.id = free.id
RETURNING d.id, d.event, d.channel, d.target, d.target_key, d.subscription_id, d.attempts, d.attempts_before
""")


class Ledger:
    """Deliveries in Postgres. Raises what the database raises; see `datalab.store.engine.database_is_down`."""

    def __init__(self, sessions: Sessions, *, lease_s: float) -> None:
        self._sessions, self.lease_s = sessions, lease_s

    async def store(self, event: Event, alert: Alert | None, routing: Routing) -> int:
        """Store the alert and every delivery the event is due, in one transaction; returns how many were new."""
        async with self._sessions.begin() as session:
            planned = routing.plan(event, alert, await _wishes(session))
            if alert is not None:
                await session.execute(_alert_upsert(event, alert))
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
            return [_claim(row) for row in (await session.execute(_CLAIM, parameters)).all()]

    async def record(self, delivery: Delivery, result: Result, decision: Decision, duration_s: float) -> bool:
        """Record the attempt and what follows; False if the claim had passed to another, who decides instead."""
        async with self._sessions.begin() as session:
            held = await session.execute(_still_held(delivery).values(_after(decision, result)))
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
                await session.execute(_disable(delivery.subscription_id, "the receiver answered 410 Gone"))
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
            result = await session.execute(_still_held(delivery).values(values))
            return bool(result.rowcount)  # type: ignore[attr-defined]  # as above

    async def release(self, delivery: Delivery) -> None:
        """Give a claim back at once, instead of when its lease ends."""
        async with self._sessions.begin() as session:
            await session.execute(_still_held(delivery).values(claimed_until=None))

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
                outcome_published=DeliveryRow.event_type.regexp_match(_unreported_pattern()),
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
    rows = [_row(event, alert, one) for one in planned]
    statement = insert(DeliveryRow).values(rows).on_conflict_do_nothing().returning(DeliveryRow.id)
    return len((await session.scalars(statement)).all())


def _row(event: Event, alert: Alert | None, planned: Planned) -> dict[str, Any]:
    return {
        "id": planned.id,
        "event_id": event.id,
        "event_type": event.type,
        "correlation_id": event.correlation,
        "fingerprint": alert.fingerprint if alert else None,
        "channel": planned.channel,
        "target": planned.target,
        "target_key": planned.target_key,
        "subscription_id": planned.subscription_id,
        "event": event.model_dump(mode="json"),
        "status": "suppressed" if planned.suppressed else "pending",
        "reason": planned.suppressed,
        "finished_at": func.now() if planned.suppressed else None,
        "outcome_published": event.type.startswith(UNREPORTED),
    }


def _alert_upsert(event: Event, alert: Alert) -> Any:
    resolved = isinstance(alert, AlertResolved)
    values: dict[str, Any] = alert.model_dump(
        include={"episode", "fingerprint", "rule", "severity", "summary", "labels", "starts_at", "ends_at"}
    )
    values |= {"status": "resolved" if resolved else "firing", "correlation_id": event.correlation}
    values["resolved_event_id" if resolved else "firing_event_id"] = event.id
    statement = insert(AlertRow).values(values)
    if resolved:
        newer = {"status": "resolved", "ends_at": alert.ends_at, "resolved_event_id": event.id}
    else:
        # Arriving after its resolution, as a repeat may, a firing event must not bring the alert back.
        newer = {"firing_event_id": event.id}
    return statement.on_conflict_do_update(index_elements=[AlertRow.episode], set_={**newer, "updated_at": func.now()})


def _claim(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        event=Event.model_validate(row.event),
        channel=row.channel,
        target=row.target,
        target_key=row.target_key,
        subscription_id=row.subscription_id,
        attempt=row.attempts,
        tries=row.attempts - row.attempts_before,
    )


def _still_held(delivery: Delivery) -> Any:
    """Only while nobody else has claimed it since: a claim raises `attempts`, so that number is its token."""
    return update(DeliveryRow).where(
        DeliveryRow.id == delivery.id,
        DeliveryRow.status == "pending",
        DeliveryRow.attempts == delivery.attempt,
    )


def _after(decision: Decision, result: Result) -> dict[str, Any]:
    values: dict[str, Any] = {
        "status_code": result.status_code,
        "reason": result.reason,
        "claimed_until": None,
    }
    match decision:
        case Delivered():
            return {**values, "status": "delivered", "finished_at": func.now()}
        case Dead(reason):
            return {**values, "status": "dead", "reason": reason, "finished_at": func.now()}
        case Retry(in_s):
            return {**values, "next_attempt_at": func.now() + timedelta(seconds=in_s)}


def _disable(subscription_id: str, reason: str) -> Any:
    return (
        update(SubscriptionRow)
        .where(SubscriptionRow.id == subscription_id)
        .values(active=False, disabled_reason=reason, updated_at=func.now())
    )


def _unreported_pattern() -> str:
    return "^(" + "|".join(prefix.replace(".", r"\.") for prefix in UNREPORTED) + ")"
