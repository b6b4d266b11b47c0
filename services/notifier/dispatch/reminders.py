"""Alerts that fire still: told again after the repeat interval, and told at last to those who were not told when it
began, once the silence, the mute time or the inhibition is over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.logs import get_logger
from datalab.store.tables.notifier import AlertRow, DeliveryRow
from datalab.store.tables.notifier_alerting import ToldRow
from schemas.alerts import AlertFiring
from schemas.catalog import parse_data
from schemas.envelope import Event, event_id
from services.notifier.bundles import Note, Notice
from services.notifier.circumstances import circumstances
from services.notifier.gathering import gather
from services.notifier.planned import Planned
from services.notifier.routing import Routing
from services.notifier.storing import STORE, Due, store_parameters
from services.notifier.verdicts import Circumstances, Verdict

log = get_logger(__name__)
_AT_ONCE = 50


async def remind_some(session: AsyncSession, routing: Routing) -> int:
    """Look at targets whose time has come; returns how many were looked at."""
    due = select(ToldRow).where(ToldRow.next_at <= func.now()).order_by(ToldRow.next_at).limit(_AT_ONCE)
    rows = (await session.scalars(due.with_for_update(skip_locked=True))).all()
    for row in rows:
        alert = await session.get(AlertRow, row.episode)
        if alert is None or alert.status != "firing":
            await session.execute(delete(ToldRow).where(_same(row)))
        elif alert.acked_at is not None or await _under_way(session, row):
            row.next_at = None if alert.acked_at is not None else func.now() + timedelta(seconds=row.repeat_s)
        else:
            await _look(session, row, alert, routing)
    return len(rows)


async def firing_event(session: AsyncSession, event_id_: str) -> tuple[Event, AlertFiring] | None:
    """The event, as the deliveries that it was due keep it."""
    stored = await session.scalar(select(DeliveryRow.event).where(DeliveryRow.event_id == event_id_).limit(1))
    if stored is None:
        return None
    event = Event.model_validate(stored)
    alert = parse_data(event)
    return (event, alert) if isinstance(alert, AlertFiring) else None


async def store(session: AsyncSession, event: Event, alert: AlertFiring, planned: Sequence[Planned]) -> None:
    """Store deliveries of an event that was stored before, with their groups."""
    await session.execute(STORE, store_parameters([Due(event, alert, planned)]))
    await gather(session, planned)


async def _look(session: AsyncSession, row: ToldRow, alert: AlertRow, routing: Routing) -> None:
    around = await circumstances(session, [alert], routing.config)
    verdict = next((v for v in routing.verdicts(alert, around) if v.receiver == row.target), None)
    found = await firing_event(session, row.event_id)
    if verdict is None or found is None:
        # No route leads there any more. Who heard of it will hear of its end; who did not has nothing to wait for.
        row.next_at = None
        if not row.heard:
            row.reason = "no route leads there any more"
    elif verdict.hush:
        row.next_at = verdict.hush.look_at
        if not row.heard:
            row.reason = verdict.hush.reason
    else:
        await _tell(session, row, found, verdict, routing, around)


async def _tell(
    session: AsyncSession,
    row: ToldRow,
    found: tuple[Event, AlertFiring],
    verdict: Verdict,
    routing: Routing,
    around: Circumstances,
) -> None:
    event, alert = found
    kind: Literal["repeat", "late"] = "repeat" if row.heard else "late"
    number = row.repeats + 1
    note = Note(kind=kind, number=number, reason=row.reason or "")
    target, lead = routing.targets[row.target], verdict.lead
    planned = routing.delivery(
        event,
        target,
        lead,
        alert,
        id=event_id(event.id, target.channel, row.target_key, kind, str(number)),
        kind=kind,
        route=lead.path,
        notice=Notice(note=note).model_dump(mode="json"),
    )
    await store(session, event, alert, [planned])
    if not row.heard:
        row.heard, row.reason, row.delivery_id = True, None, planned.id
        row.group_key = planned.gathering.key if planned.gathering else None
    row.repeats, row.route, row.repeat_s = number, lead.path, lead.repeat.total_seconds()
    row.next_at = around.now + lead.repeat if lead.repeat else None
    log.info("alert.told_again", fingerprint=row.fingerprint, target=row.target, kind=kind, delivery_id=planned.id)


async def _under_way(session: AsyncSession, row: ToldRow) -> bool:
    """Whether a message about the alert still waits for this target: another would only add to the pile."""
    pending = select(DeliveryRow.id).where(
        DeliveryRow.status == "pending",
        DeliveryRow.target_key == row.target_key,
        DeliveryRow.order_key == row.fingerprint,
    )
    return await session.scalar(pending.limit(1)) is not None


def _same(row: ToldRow) -> ColumnElement[bool]:
    return (ToldRow.fingerprint == row.fingerprint) & (ToldRow.target_key == row.target_key)
