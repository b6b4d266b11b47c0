"""The statements of the ledger: how events and alerts become rows. Runs nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.notifier import AlertRow, DeliveryRow
from datalab.store.tables.notifier_alerting import EscalationRow, ToldRow
from services.notifier.delivery import Delivery


def still_held(delivery: Delivery) -> Any:
    """Only while nobody else has claimed it since: a claim raises `attempts`, so that number is its token."""
    return update(DeliveryRow).where(
        DeliveryRow.id == delivery.id,
        DeliveryRow.status == "pending",
        DeliveryRow.attempts == delivery.attempt,
    )


def firing_upsert() -> Any:
    """For many rows. A firing event that arrives after its resolution, as a repeat may, must not bring the alert back;
    the first one stays the one that is known."""
    statement = insert(AlertRow)
    first = func.coalesce(AlertRow.firing_event_id, statement.excluded.firing_event_id)
    newer = {"firing_event_id": first, "updated_at": func.now()}
    return statement.on_conflict_do_update(index_elements=[AlertRow.episode], set_=newer)


def resolved_upsert() -> Any:
    """For many rows."""
    statement = insert(AlertRow)
    new = statement.excluded
    newer = {"status": "resolved", "ends_at": new.ends_at, "resolved_event_id": new.resolved_event_id}
    return statement.on_conflict_do_update(index_elements=[AlertRow.episode], set_={**newer, "updated_at": func.now()})


async def lock_alerts(session: AsyncSession, fingerprints: Collection[str]) -> Sequence[ToldRow]:
    """Lock what is known of these alerts beside their rows, always in the same order, so that two that change an alert
    wait for each other and never in a ring; returns who was told."""
    steps = select(EscalationRow.id).where(EscalationRow.fingerprint.in_(fingerprints)).order_by(EscalationRow.id)
    await session.execute(steps.with_for_update())
    told = select(ToldRow).where(ToldRow.fingerprint.in_(fingerprints))
    ordered = told.order_by(ToldRow.fingerprint, ToldRow.target_key).with_for_update()
    return (await session.scalars(ordered)).all()
