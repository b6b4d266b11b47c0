"""The statements of the ledger: what is claimed, and how events, alerts and decisions become rows. Runs nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Row, func, text, update
from sqlalchemy.dialects.postgresql import insert

from datalab.store.tables.notifier import AlertRow, DeliveryRow, SubscriptionRow
from schemas.alerts import AlertResolved
from schemas.envelope import Event
from services.notifier.delivery import UNREPORTED, Delivery, Result
from services.notifier.retries import Dead, Decision, Delivered, Retry
from services.notifier.routing import Alert, Planned

# Of each target the oldest few that are due, but nothing that stands behind an older delivery of the same alert to the
# same target: "resolved" must not overtake "firing". SKIP LOCKED lets instances share the work without waiting.
CLAIM = text("""
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


def delivery_row(event: Event, alert: Alert | None, planned: Planned) -> dict[str, Any]:
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


def alert_upsert(event: Event, alert: Alert) -> Any:
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


def claimed(row: Row[Any]) -> Delivery:
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


def still_held(delivery: Delivery) -> Any:
    """Only while nobody else has claimed it since: a claim raises `attempts`, so that number is its token."""
    return update(DeliveryRow).where(
        DeliveryRow.id == delivery.id,
        DeliveryRow.status == "pending",
        DeliveryRow.attempts == delivery.attempt,
    )


def after(decision: Decision, result: Result) -> dict[str, Any]:
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


def disable(subscription_id: str, reason: str) -> Any:
    return (
        update(SubscriptionRow)
        .where(SubscriptionRow.id == subscription_id)
        .values(active=False, disabled_reason=reason, updated_at=func.now())
    )


def unreported_pattern() -> str:
    return "^(" + "|".join(prefix.replace(".", r"\.") for prefix in UNREPORTED) + ")"
