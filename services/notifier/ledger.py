"""The ledger's write side: deliveries are stored, claimed, and brought to an end. Each method is one transaction.

All times are the database's own, so that instances with differing clocks agree on what is due.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.logs import get_logger
from datalab.store.engine import Sessions
from datalab.store.tables.notifier import DeliveryRow, SubscriptionRow
from schemas.envelope import Event
from services.notifier.claims import CLAIM, Load, claim_parameters, claimed
from services.notifier.delivery import Delivery
from services.notifier.matching import Matchers
from services.notifier.memory import Memory
from services.notifier.notices import leave_notice
from services.notifier.planned import Alert, Planned
from services.notifier.recording import (
    DISABLE,
    HEALTH,
    RECORD,
    failure_parameters,
    health_parameters,
    record_parameters,
)
from services.notifier.replaying import REPLAY, Which
from services.notifier.retries import Attempted
from services.notifier.routing import Routing
from services.notifier.statements import still_held
from services.notifier.storing import STORE, Due, store_parameters
from services.notifier.wishes import Wish, subscribed, wants

log = get_logger(__name__)
Received = tuple[Event, Alert | None]


class Ledger:
    """Deliveries in Postgres. Raises what the database raises; see `datalab.store.engine.database_is_down`."""

    def __init__(self, sessions: Sessions, *, lease_s: float, patience_s: float) -> None:
        """`lease_s`: how long a claim holds; `patience_s`: how long a subscription may fail before it is disabled."""
        self._sessions, self.lease_s, self._patience_s = sessions, lease_s, patience_s

    async def store(self, received: Sequence[Received], routing: Routing) -> Counter[str]:
        """Store the alerts and every delivery that these events are due, in one transaction; returns how many were
        new, by the id of their event. The subscriptions are those of this moment."""
        async with self._sessions.begin() as session:
            wishes = _Wishes(await _subscribed(session))
            alerts = [alert for _, alert in received if alert is not None]
            memory = await Memory.read(session, alerts, routing.config) if alerts else None
            due = []
            for event, alert in received:
                planned = subscribed(event, alert, wishes.of_type(event.type))
                if alert is not None and memory is not None:
                    planned = [*memory.plan(event, alert, routing), *planned]
                due.append(Due(event, alert, planned))
            if memory is not None:
                await memory.write(session)
            return await _insert(session, due)

    async def store_for(self, event: Event, planned: Planned) -> None:
        """Store one delivery that does not come from routing, such as a test message."""
        async with self._sessions.begin() as session:
            await _insert(session, [Due(event, None, [planned])])

    async def claim(self, places: int, per_target: int, load: Load) -> list[Delivery]:
        """Claim up to `places` due deliveries, of each target at most what its load leaves of its share."""
        parameters = claim_parameters(places, per_target, load, self.lease_s)
        async with self._sessions.begin() as session:
            return [claimed(row) for row in (await session.execute(CLAIM, parameters)).all()]

    async def record(self, attempted: Sequence[Attempted]) -> set[str]:
        """Record attempts and what follows; returns the ids of those whose claim still held. About the others
        somebody else decides, who has claimed them since."""
        async with self._sessions.begin() as session:
            held = set((await session.scalars(RECORD, record_parameters(attempted))).all())
            tried = [one for one in attempted if one.delivery.id in held and one.outcome != "suppressed"]
            if any(one.delivery.subscription_id for one in tried):
                await self._note_health(session, tried)
            return held

    async def _note_health(self, session: AsyncSession, tried: Sequence[Attempted]) -> None:
        """Note since when endpoints fail, and switch off those that have failed for too long."""
        parameters = health_parameters(tried)
        await session.execute(HEALTH, parameters)
        failed = failure_parameters(tried)
        if failed["failed"]:
            patience = {"patience": timedelta(seconds=self._patience_s)}
            for name in await session.scalars(DISABLE, failed | patience):
                log.warning("subscription.disabled", subscription=name)

    async def release(self, delivery: Delivery) -> None:
        """Give a claim back at once, instead of when its lease ends."""
        async with self._sessions.begin() as session:
            await session.execute(still_held(delivery).values(claimed_until=None))

    async def replay(self, which: Which, per_s: float | None = None) -> int:
        """Make finished deliveries due again under the same ids, with all of their retries, at most `per_s` of them a
        second, the oldest first; returns how many."""
        parameters = which.parameters() | {"gap_s": 1 / per_s if per_s else 0.0}
        async with self._sessions.begin() as session:
            return len((await session.scalars(REPLAY, parameters)).all())

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
            await leave_notice(session, row)
            await session.flush()
            await session.execute(delete(SubscriptionRow).where(SubscriptionRow.id == subscription_id))
            return True


class _Wishes:
    """The subscriptions, by the types that they want: most events of a batch are of a few types."""

    def __init__(self, all_: Sequence[Wish]) -> None:
        self._all = all_
        self._of_type: dict[str, Sequence[Wish]] = {}

    def of_type(self, type_: str) -> Sequence[Wish]:
        """Those that want it."""
        if type_ not in self._of_type:
            self._of_type[type_] = [wish for wish in self._all if wants(wish.event_types, type_)]
        return self._of_type[type_]


async def _subscribed(session: AsyncSession) -> Sequence[Wish]:
    row = SubscriptionRow
    found = await session.execute(
        select(
            row.id, row.name, row.event_types, row.match, row.ordering, row.active, row.disabled_reason,
            row.consented_at, row.consent_reason, row.allowed_per_min,
        )
    )  # fmt: skip
    return [
        Wish(
            one.id,
            one.name,
            tuple(one.event_types),
            refusal(one),
            None if one.match is None else Matchers.model_validate(one.match),
            one.ordering,
            paced=one.allowed_per_min is not None,
        )
        for one in found
    ]


class Standing(Protocol):
    """What decides whether a subscription takes deliveries; its row is such."""

    @property
    def name(self) -> str: ...
    @property
    def active(self) -> bool: ...
    @property
    def disabled_reason(self) -> str | None: ...
    @property
    def consented_at(self) -> datetime | None: ...
    @property
    def consent_reason(self) -> str | None: ...


def refusal(row: Standing | Any) -> str | None:
    """Why the subscription takes nothing now; None if it does."""
    if not row.active:
        return f"subscription {row.name} is disabled: {row.disabled_reason or 'switched off by its owner'}"
    if row.consented_at is None:
        why = row.consent_reason or "it was not asked yet"
        return f"subscription {row.name} has not agreed to receive: {why}"
    return None


async def _insert(session: AsyncSession, due: Sequence[Due]) -> Counter[str]:
    wanted = [one for one in due if one.planned]
    if not wanted:
        return Counter()
    return Counter(await session.scalars(STORE, store_parameters(wanted)))
