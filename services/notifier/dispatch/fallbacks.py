"""Messages that a receiver could not be given, or not in time: its fall-back is told instead."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.logs import get_logger
from datalab.store.tables.notifier import AlertRow, DeliveryRow
from schemas.alerts import AlertFiring, AlertResolved
from schemas.catalog import parse_data
from schemas.envelope import Event, event_id
from services.notifier.bundles import Note, Notice
from services.notifier.delivery import Target
from services.notifier.dispatch.escalations import heard
from services.notifier.planned import Planned, receiver_key
from services.notifier.routing import Routing
from services.notifier.storing import STORE, Due, store_parameters

log = get_logger(__name__)


async def hand_on_one(session: AsyncSession, routing: Routing) -> bool:
    """Hand one failing message on to the fall-back of its receiver; False if there is none."""
    failing = [_failing(target) for target in routing.targets.values() if target.fallback]
    if not failing:
        return False
    row = await session.scalar(
        select(DeliveryRow)
        .where(
            DeliveryRow.handed_to.is_(None),
            DeliveryRow.kind.not_in(("event", "resolved")),
            DeliveryRow.status.in_(("pending", "dead")),
            DeliveryRow.held.is_(None),
            or_(*failing),
        )
        .order_by(DeliveryRow.created_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if row is None:
        return False
    target = routing.targets[routing.targets[row.target].fallback or ""]
    await _hand_on(session, row, target)
    return True


def _failing(target: Target) -> ColumnElement[bool]:
    late = func.now() - timedelta(seconds=target.fallback_after_s)
    slow = (DeliveryRow.attempts > 0) & (DeliveryRow.created_at < late) & DeliveryRow.reason.is_not(None)
    return (DeliveryRow.target_key == receiver_key(target.name)) & or_(DeliveryRow.status == "dead", slow)


async def _hand_on(session: AsyncSession, row: DeliveryRow, target: Target) -> None:
    event = Event.model_validate(row.event)
    told = Notice.model_validate(row.notice) if row.notice else Notice()
    note = Note(kind="fallback", receiver=row.target, reason=row.reason or "")
    key = receiver_key(target.name)
    planned = Planned(
        event_id(row.id, "fallback", key),
        target.channel,
        target.name,
        key,
        suppressed=target.unavailable,
        kind="digest" if row.kind == "digest" else "fallback",
        route=row.route,
        queued=target.paced,
        notice=told.model_copy(update={"note": note}).model_dump(mode="json"),
    )
    alert = parse_data(event) if row.kind != "digest" else None
    await _store(session, event, alert, planned)
    row.handed_to = planned.id
    if not planned.suppressed:
        await _carry_over(session, row, planned)
    log.info("delivery.handed_on", delivery_id=row.id, to=planned.id, target=target.name, reason=row.reason)


async def _carry_over(session: AsyncSession, row: DeliveryRow, planned: Planned) -> None:
    """The fall-back hears of the end of every alert in the message, also of those that are over by now."""
    carried = select(DeliveryRow.episode).where(or_(DeliveryRow.id == row.id, DeliveryRow.carried_by == row.id))
    alerts = await session.scalars(select(AlertRow).where(AlertRow.episode.in_(carried)))
    for alert in alerts:
        if alert.status == "firing":
            told = heard(planned, alert.fingerprint, alert.episode, alert.firing_event_id or row.event_id)
            await session.execute(told)
            continue
        stored = await session.scalar(
            select(DeliveryRow.event).where(DeliveryRow.event_id == alert.resolved_event_id).limit(1)
        )
        if stored is not None:
            event = Event.model_validate(stored)
            id_ = event_id(event.id, planned.channel, planned.target_key)
            end = Planned(
                id_,
                planned.channel,
                planned.target,
                planned.target_key,
                kind="resolved",
                route=planned.route,
                answers=planned.id,
                queued=planned.queued,
            )
            await _store(session, event, parse_data(event), end)


async def _store(session: AsyncSession, event: Event, alert: Any, planned: Planned) -> None:
    known = alert if isinstance(alert, AlertFiring | AlertResolved) else None
    await session.execute(STORE, store_parameters([Due(event, known, [planned])]))
