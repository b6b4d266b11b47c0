"""The statements of the ledger: how events and alerts become rows. Runs nothing."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert

from datalab.store.tables.notifier import AlertRow, DeliveryRow
from schemas.alerts import AlertResolved
from schemas.envelope import Event
from services.notifier.delivery import Delivery
from services.notifier.routing import Alert


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


def still_held(delivery: Delivery) -> Any:
    """Only while nobody else has claimed it since: a claim raises `attempts`, so that number is its token."""
    return update(DeliveryRow).where(
        DeliveryRow.id == delivery.id,
        DeliveryRow.status == "pending",
        DeliveryRow.attempts == delivery.attempt,
    )
