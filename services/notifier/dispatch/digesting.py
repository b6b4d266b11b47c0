"""The digest of a target's queue: one message that counts all alerts in it and lists the worst."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.logs import get_logger
from datalab.store.tables.notifier import DeliveryRow
from schemas.envelope import Event, event_id
from services.notifier.bundles import Notice, bundle
from services.notifier.delivery import Target
from services.notifier.planned import RANKS

log = get_logger(__name__)
DIGEST_TYPE = "lab.notification.digest.v1"
_LOOKED_AT = 200


def queued(key: str) -> ColumnElement[bool]:
    """That a delivery waits in the target's queue."""
    return and_(DeliveryRow.status == "pending", DeliveryRow.held == "queue", DeliveryRow.target_key == key)


async def digest(session: AsyncSession, key: str, target: Target) -> None:
    """All that still wait become one message."""
    first, last = (
        await session.execute(select(func.min(DeliveryRow.seq), func.max(DeliveryRow.seq)).where(queued(key)))
    ).one()
    digest_id = event_id("digest", key, str(first), str(last))
    notice = await _notice(session, key, last)
    event = Event(
        id=event_id(digest_id, "event"),
        source="datalab/notifier",
        type=DIGEST_TYPE,
        subject=target.name,
        time=await session.scalar(select(func.now())),
        data={"target": target.name, "counts": notice.counts},
    )
    session.add(
        DeliveryRow(
            id=digest_id,
            event_id=event.id,
            event_type=event.type,
            correlation_id=event.correlation,
            channel=target.channel,
            target=target.name,
            target_key=key,
            event=event.model_dump(mode="json"),
            kind="digest",
            rank=min(RANKS.get(severity, 9) for severity in notice.counts),
            notice=notice.model_dump(mode="json"),
            status="pending",
            outcome_published=True,
        )
    )
    swallowed = {
        "status": "suppressed",
        "reason": f"told in the digest {digest_id}",
        "carried_by": digest_id,
        "held": None,
        "finished_at": func.now(),
    }
    # By their numbers: there may be more of them than a statement takes parameters.
    waiting = update(DeliveryRow).where(queued(key), DeliveryRow.seq <= last).values(swallowed)
    gone = (await session.scalars(waiting.returning(DeliveryRow.seq))).all()
    log.info("digest.made", delivery_id=digest_id, target=target.name, deliveries=len(gone), alerts=notice.total)


async def _notice(session: AsyncSession, key: str, last: int) -> Notice:
    """The worst of them with their events, and the counts of all. Of groups among them, what the groups tell."""
    waiting = and_(queued(key), DeliveryRow.seq <= last)
    grouped = DeliveryRow.notice["kind"].astext.is_not(None)
    over = DeliveryRow.kind == "resolved"
    worst = select(DeliveryRow.event).where(waiting, ~grouped).order_by(over, DeliveryRow.rank, DeliveryRow.seq)
    events = [Event.model_validate(event) for event in await session.scalars(worst.limit(_LOOKED_AT))]
    groups = await session.scalars(select(DeliveryRow.notice).where(waiting, grouped))
    told = [Notice.model_validate(notice) for notice in groups]
    counts = await _counts(session, and_(waiting, ~grouped))
    for name, count in (item for notice in told for item in notice.counts.items()):
        counts[name] += count
    shown = bundle("digest", [*events, *(event for notice in told for event in notice.alerts)])
    return shown.model_copy(update={"counts": dict(counts)})


async def _counts(session: AsyncSession, waiting: ColumnElement[bool]) -> Counter[str]:
    """How many alerts, by severity for those that fire; of each alert its last delivery counts."""
    last = (
        select(DeliveryRow.kind, DeliveryRow.rank)
        .where(waiting)
        .distinct(DeliveryRow.fingerprint)
        .order_by(DeliveryRow.fingerprint, DeliveryRow.seq.desc())
        .subquery()
    )
    names = {rank: severity for severity, rank in RANKS.items()}
    by_kind = select(last.c.kind, last.c.rank, func.count()).group_by(last.c.kind, last.c.rank)
    counts: Counter[str] = Counter()
    for kind, rank, count in await session.execute(by_kind):
        counts["resolved" if kind == "resolved" else names.get(rank, "info")] += count
    return counts
