"""Alerts that nobody has acknowledged in time: the receivers of the route's next step are told too."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.logs import get_logger
from datalab.store.tables.notifier import AlertRow
from datalab.store.tables.notifier_alerting import EscalationRow, ToldRow
from schemas.alerts import AlertFiring
from schemas.envelope import Event, event_id
from services.notifier.bundles import Note, Notice
from services.notifier.circumstances import circumstances
from services.notifier.dispatch.reminders import firing_event, store
from services.notifier.planned import Planned, receiver_key
from services.notifier.routing import Routing
from services.notifier.verdicts import LOOK_AGAIN, hushed

log = get_logger(__name__)


async def escalate_one(session: AsyncSession, routing: Routing) -> bool:
    """Take one due step; False if none is due."""
    due = select(EscalationRow).where(EscalationRow.due_at <= func.now()).order_by(EscalationRow.due_at).limit(1)
    row = await session.scalar(due.with_for_update(skip_locked=True))
    if row is None:
        return False
    alert = await session.get(AlertRow, row.episode)
    found = await firing_event(session, row.event_id)
    if alert is not None and found is not None and alert.status == "firing" and alert.acked_at is None:
        around = await circumstances(session, [alert], routing.config)
        if hush := hushed(alert, routing.config, around):
            row.due_at = hush.look_at or around.now + LOOK_AGAIN
            return True
        await _step(session, row, found, routing)
    await session.execute(delete(EscalationRow).where(EscalationRow.id == row.id))
    return True


async def _step(session: AsyncSession, row: EscalationRow, found: tuple[Event, AlertFiring], routing: Routing) -> None:
    event, alert = found
    note = Note(kind="escalation", number=row.step, after_s=row.after_s)
    planned = []
    for name in row.receivers:
        target = routing.targets.get(name)
        if target is None:
            log.warning("escalation.no_receiver", receiver=name, route=row.route)
            continue
        planned.append(
            routing.delivery(
                event,
                target,
                None,
                alert,
                id=event_id(event.id, target.channel, receiver_key(name), "escalation", row.route, str(row.step)),
                kind="escalation",
                route=row.route,
                suppressed=target.unavailable,
                notice=Notice(note=note).model_dump(mode="json"),
            )
        )
    if planned:
        await store(session, event, alert, planned)
    for one in planned:
        if one.suppressed is None:
            await session.execute(heard(one, row.fingerprint, row.episode, event.id))
    log.info("alert.escalated", fingerprint=row.fingerprint, step=row.step, receivers=row.receivers)


def heard(planned: Planned, fingerprint: str, episode: str, event_id_: str) -> Any:
    """The target will hear of the alert's end; it keeps what it had heard before."""
    values = {
        "fingerprint": fingerprint,
        "target_key": planned.target_key,
        "episode": episode,
        "event_id": event_id_,
        "channel": planned.channel,
        "target": planned.target,
        "route": planned.route or "",
        "delivery_id": planned.id,
        "heard": True,
        "repeat_s": 0.0,
    }
    statement = insert(ToldRow).values(values)
    anew = {"heard": True, "reason": None, "delivery_id": planned.id}
    return statement.on_conflict_do_update(
        index_elements=[ToldRow.fingerprint, ToldRow.target_key], set_=anew, where=~ToldRow.heard
    )
