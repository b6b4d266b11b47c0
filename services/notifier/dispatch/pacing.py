"""The storm governor: messages to a target leave its queue as fast as its token bucket fills, the worst first. Where
the oldest has waited too long, all that cannot leave become one digest, and each keeps a row that names it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.notifier import DeliveryRow, SubscriptionRow
from datalab.store.tables.notifier_alerting import PaceRow
from services.notifier.delivery import MACHINES, Target
from services.notifier.dispatch.digesting import digest, queued
from services.notifier.planned import receiver_key, subscription_key

_SUBSCRIPTION = subscription_key("")


@dataclass(frozen=True)
class Turn:
    """What a bucket allows now: so many messages by themselves, and perhaps one digest of the others."""

    tokens: float
    messages: int
    digest: bool


def turn(target: Target, tokens: float, elapsed_s: float, waiting: int, oldest_s: float, under_way: int = 0) -> Turn:
    """How a target's queue moves on. One token is for the digest where there is to be one. No more are `under_way` than
    may be sent at once, so that a message that is tried again takes its turn too."""
    rate = target.rate_s
    if rate is None:
        return Turn(0.0, waiting, digest=False)
    filled = min(float(target.burst), tokens + max(0.0, elapsed_s) * rate)
    whole = max(0, min(int(filled), target.burst - under_way))
    # Programs get every event by itself, however long it takes.
    may = target.channel not in MACHINES
    full = may and whole >= 1 and waiting > whole and oldest_s > target.digest_after_s
    return Turn(filled, min(waiting, whole - 1 if full else whole), digest=full)


async def queues(session: AsyncSession) -> Sequence[str]:
    """The targets that messages wait for."""
    waiting = select(DeliveryRow.target_key).where(DeliveryRow.status == "pending", DeliveryRow.held == "queue")
    return (await session.scalars(waiting.distinct())).all()


async def waited_for(session: AsyncSession, keys: Sequence[str], targets: Mapping[str, Target]) -> Mapping[str, Target]:
    """By key the targets of these queues, each with its pace: receivers of the file, subscriptions whose endpoints have
    named a rate. One that is gone has no pace; the sender says what became of it."""
    ids = [key.removeprefix(_SUBSCRIPTION) for key in keys if key.startswith(_SUBSCRIPTION)]
    row = SubscriptionRow
    named = select(row.id, row.name, row.allowed_per_min).where(row.id.in_(ids), row.allowed_per_min.is_not(None))
    paces = {}
    for id_, name, per_min in (await session.execute(named)).all() if ids else ():
        rate_s = per_min / 60
        paces[subscription_key(id_)] = Target(name, "webhook", rate_s=rate_s, burst=max(1, math.ceil(rate_s)))
    known = paces | {receiver_key(name): target for name, target in targets.items()}
    return {key: known.get(key) or Target(key, "webhook") for key in keys}


async def move_on(session: AsyncSession, key: str, target: Target) -> int:
    """Let messages of the target's queue go; how many. Another instance that is at it is left to it."""
    await session.execute(insert(PaceRow).values(target_key=key, tokens=float(target.burst)).on_conflict_do_nothing())
    locked = select(PaceRow, func.now()).where(PaceRow.target_key == key).with_for_update(skip_locked=True)
    found = (await session.execute(locked)).one_or_none()
    if found is None:
        return 0
    pace, now = found
    if await _throttled(session, key):
        pace.tokens, pace.refilled_at = 0.0, now
        return 0
    waiting, oldest = await _waiting(session, key)
    oldest_s = (now - oldest).total_seconds() if oldest else 0.0
    elapsed_s = (now - pace.refilled_at).total_seconds()
    allowed = turn(target, pace.tokens, elapsed_s, waiting, oldest_s, await _under_way(session, key))
    gone = await _release(session, key, allowed.messages) if allowed.messages else 0
    if allowed.digest:
        await digest(session, key, target)
        gone += 1
    pace.tokens, pace.refilled_at = max(0.0, allowed.tokens - gone), now
    return gone


async def _throttled(session: AsyncSession, key: str) -> bool:
    """Whether the target has said 429 and when to come back; until then nothing more is sent to it."""
    asked = select(DeliveryRow.id).where(
        DeliveryRow.status == "pending",
        DeliveryRow.target_key == key,
        DeliveryRow.next_attempt_at > func.now(),
        DeliveryRow.held.is_(None),
        DeliveryRow.status_code == 429,
    )
    return await session.scalar(asked.limit(1)) is not None


async def _under_way(session: AsyncSession, key: str) -> int:
    """How many messages to the target are due or being sent now."""
    due = select(func.count()).where(
        DeliveryRow.status == "pending",
        DeliveryRow.target_key == key,
        DeliveryRow.held.is_(None),
        DeliveryRow.next_attempt_at <= func.now(),
    )
    return (await session.execute(due)).scalar_one()


async def _waiting(session: AsyncSession, key: str) -> tuple[int, datetime | None]:
    waiting = select(func.count(), func.min(DeliveryRow.created_at)).where(queued(key))
    count, oldest = (await session.execute(waiting)).one()
    return count, oldest


async def _release(session: AsyncSession, key: str, count: int) -> int:
    first = select(DeliveryRow.id).where(queued(key)).order_by(DeliveryRow.rank, DeliveryRow.seq).limit(count)
    going = update(DeliveryRow).where(DeliveryRow.id.in_(first)).values(held=None, next_attempt_at=func.now())
    return len((await session.scalars(going.returning(DeliveryRow.id))).all())
