"""Groups whose time has come: what has gathered becomes one message, carried by its oldest delivery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import and_, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.logs import get_logger
from datalab.store.tables.notifier import DeliveryRow
from datalab.store.tables.notifier_alerting import GroupRow, ToldRow
from schemas.alerts import AlertFiring
from schemas.catalog import parse_data
from schemas.envelope import Event
from services.notifier.bundles import bundle
from services.notifier.circumstances import circumstances
from services.notifier.routing import Routing
from services.notifier.verdicts import Circumstances, Hush

log = get_logger(__name__)
_INFINITE = text("'infinity'::timestamptz")


async def flush_one(session: AsyncSession, routing: Routing) -> bool:
    """Turn one due group into a message; False if none is due. A killed process leaves the group due as it was."""
    due = select(GroupRow).where(GroupRow.due_at <= func.now()).order_by(GroupRow.due_at).limit(1)
    group = await session.scalar(due.with_for_update(skip_locked=True))
    if group is None:
        return False
    gathered = select(DeliveryRow).where(
        DeliveryRow.group_key == group.group_key, DeliveryRow.held == "group", DeliveryRow.status == "pending"
    )
    rows = (await session.scalars(gathered.order_by(DeliveryRow.seq).with_for_update())).all()
    rows = await _without_hushed(session, rows, routing)
    if rows:
        await _carry(session, rows, group.labels, paced=_paced(rows[0], routing))
        group.flushed_at, group.flushes = func.now(), GroupRow.flushes + 1
    group.due_at = None
    log.info("group.flushed", group=group.group_key, route=group.route, target=group.target_key, alerts=len(rows))
    return True


async def _carry(session: AsyncSession, rows: Sequence[DeliveryRow], labels: Mapping[str, str], *, paced: bool) -> None:
    # The oldest, so that nothing that it carries has to end before it may be sent itself.
    carrier, carried = rows[0], rows[1:]
    values: dict[str, object] = {
        "held": "queue" if paced else None,
        "next_attempt_at": _INFINITE if paced else func.now(),
        "rank": min(row.rank if row.rank is not None else 9 for row in rows),
    }
    if carried:
        events = [Event.model_validate(row.event) for row in rows]
        values["notice"] = bundle("group", events, dict(labels)).model_dump(mode="json")
        with_it = and_(
            DeliveryRow.group_key == carrier.group_key,
            DeliveryRow.held == "group",
            DeliveryRow.status == "pending",
            DeliveryRow.seq.between(carrier.seq + 1, rows[-1].seq),
        )
        await session.execute(update(DeliveryRow).where(with_it).values(held="carried", carried_by=carrier.id))
    await session.execute(update(DeliveryRow).where(DeliveryRow.id == carrier.id).values(values))


async def _without_hushed(
    session: AsyncSession, rows: Sequence[DeliveryRow], routing: Routing
) -> Sequence[DeliveryRow]:
    """What has come while they gathered counts: a silence, an inhibition, a mute time. What fires beyond it is told
    when it is over."""
    alerts = {row.id: alert for row in rows if row.kind != "resolved" and (alert := _firing(row))}
    around = await circumstances(session, list(alerts.values()), routing.config)
    kept: list[DeliveryRow] = []
    unheard: dict[str | None, str] = {}
    for row in rows:
        hush = _hush(row, alerts[row.id], routing, around) if row.id in alerts else None
        if hush is not None:
            unheard[row.id] = hush.reason
            await _suppress(session, row, hush.reason)
            told = update(ToldRow).where(ToldRow.delivery_id == row.id)
            await session.execute(told.values(heard=False, reason=hush.reason, next_at=hush.look_at))
        elif row.answers in unheard:
            await _suppress(session, row, f"was not told that it fires: {unheard[row.answers]}")
        else:
            kept.append(row)
    return kept


def _firing(row: DeliveryRow) -> AlertFiring | None:
    alert = parse_data(Event.model_validate(row.event))
    return alert if isinstance(alert, AlertFiring) else None


def _hush(row: DeliveryRow, alert: AlertFiring, routing: Routing, around: Circumstances) -> Hush | None:
    """Why it is not to be told now. A route that leads there no more takes nothing back."""
    return next((v.hush for v in routing.verdicts(alert, around) if v.receiver == row.target), None)


async def _suppress(session: AsyncSession, row: DeliveryRow, reason: str) -> None:
    ended = {"status": "suppressed", "reason": reason, "held": None, "finished_at": func.now()}
    await session.execute(update(DeliveryRow).where(DeliveryRow.id == row.id).values(ended))


def _paced(row: DeliveryRow, routing: Routing) -> bool:
    target = routing.targets.get(row.target)
    return target is not None and target.paced
