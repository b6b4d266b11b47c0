"""Triggers that wait for their turn: rows of bridge_triggers with their events. Postgres only; knows no Prefect.

What waits is durable, so the offsets of its events may move. Rows of one rule and key form a group; one instance at a
time works on a group, which an advisory lock of its transaction says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import and_, func, or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.bus.publisher import RecordRef
from datalab.store.engine import Sessions
from datalab.store.tables.bridge import TriggerEventRow, TriggerRow
from schemas.envelope import Event
from services.bridge.intake import Match
from services.bridge.ledger import start_over, trigger_values

Group = tuple[str, str]  # rule, key
_DUE = or_(TriggerRow.due_at.is_(None), TriggerRow.due_at <= func.clock_timestamp())
_LOCKED = text(
    "SELECT number FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS given(name, number) "
    "WHERE pg_try_advisory_xact_lock(hashtextextended(name, 4711)) ORDER BY number"
)


class Kept(NamedTuple):
    """An event of a trigger, and where its record lies."""

    event: Event
    ref: RecordRef


class WaitingTriggers:
    """The queue. `add` is a transaction of its own; the others belong to the one they are given."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions

    async def add(self, matches: Sequence[Match], reason: str | None = None) -> list[str]:
        """Keep these triggers with their events; returns the rules of those that are new. A dead one
        starts over; one that was left on its way to Prefect waits as well, and will be given the same run."""
        rows, kept = {}, []
        for decision, event, ref in matches:
            values = trigger_values(decision, event, ref) | {"status": "waiting", "reason": reason}
            rows[values["id"]] = values
            kept.append(event_values(decision.rule.name, values["id"], event, ref))
        async with self.sessions.begin() as session:
            new = await insert_triggers(session, list(rows.values()))
            await session.execute(insert(TriggerEventRow).on_conflict_do_nothing(), kept)
            left = TriggerRow.status.in_(("dead", "pending"))
            old = select(TriggerRow).where(TriggerRow.id.in_(rows.keys() - new), left)
            for row in await session.scalars(old.with_for_update()):
                if row.status == "dead":
                    start_over(row, rows[row.id])
                row.status, row.reason = "waiting", reason
        return [values["rule"] for id_, values in rows.items() if id_ in new]

    async def groups(self, rules: Iterable[str]) -> list[Group]:
        """The groups of these rules in which something is due, the oldest first."""
        query = (
            select(TriggerRow.rule, TriggerRow.key)
            .where(TriggerRow.status == "waiting", TriggerRow.rule.in_(list(rules)), _DUE)
            .group_by(TriggerRow.rule, TriggerRow.key)
            .order_by(func.min(TriggerRow.created_at))
        )
        async with self.sessions() as session:
            return [(rule, key) for rule, key in await session.execute(query)]

    async def counts(self) -> dict[str, int]:
        """How many triggers wait, by rule."""
        query = select(TriggerRow.rule, func.count()).where(TriggerRow.status == "waiting").group_by(TriggerRow.rule)
        async with self.sessions() as session:
            return {str(rule): int(count) for rule, count in await session.execute(query)}


async def locked(session: AsyncSession, groups: Sequence[Group]) -> list[Group]:
    """Those of these groups that no other instance works on; they are ours until the transaction ends."""
    names = [f"{rule}\x1f{key}" for rule, key in groups]
    return [groups[number - 1] for number in await session.scalars(_LOCKED, {"names": names})]


async def active(session: AsyncSession, groups: Sequence[Group]) -> dict[Group, int]:
    """How many runs of each group have not ended."""
    query = (
        select(TriggerRow.rule, TriggerRow.key, func.count())
        .where(TriggerRow.status == "created", ~TriggerRow.run_finished)
        .where(tuple_(TriggerRow.rule, TriggerRow.key).in_(groups))
        .group_by(TriggerRow.rule, TriggerRow.key)
    )
    found = {(rule, key): count for rule, key, count in await session.execute(query)} if groups else {}
    return {group: found.get(group, 0) for group in groups}


async def due(session: AsyncSession, places: Mapping[Group, int]) -> list[TriggerRow]:
    """The next rows of these groups, at most so many of each, in order."""
    rows: list[TriggerRow] = []
    for (rule, key), most in places.items():
        query = (
            select(TriggerRow)
            .where(TriggerRow.status == "waiting", TriggerRow.rule == rule, TriggerRow.key == key, _DUE)
            .order_by(TriggerRow.created_at, TriggerRow.id)
            .limit(most)
        )
        rows += await session.scalars(query)
    return rows


async def failed_runs(session: AsyncSession, most: int) -> Sequence[TriggerRow]:
    """Triggers whose run failed and of which nobody has decided yet what follows; locked for this transaction."""
    query = (
        select(TriggerRow)
        .where(
            and_(TriggerRow.status == "created", TriggerRow.run_finished, ~TriggerRow.followed_up),
            TriggerRow.run_state.in_(("FAILED", "CRASHED")),
        )
        .order_by(TriggerRow.updated_at)
        .limit(most)
    )
    return (await session.scalars(query.with_for_update(skip_locked=True))).all()


async def events_of(session: AsyncSession, trigger_id: str) -> list[Kept]:
    """The events of a trigger, in the order of their times."""
    query = (
        select(TriggerEventRow)
        .where(TriggerEventRow.trigger_id == trigger_id)
        .order_by(TriggerEventRow.occurred_at, TriggerEventRow.event_id)
    )
    return [
        Kept(Event.model_validate(row.event), RecordRef(row.topic, row.partition, row.offset))
        for row in await session.scalars(query)
    ]


async def insert_triggers(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Insert those of these rows that are not there yet, in order; returns the ids of the new ones."""
    # A transaction has one `now()`; the order of rows is that of their times.
    ordered = [
        {**row, "created_at": func.clock_timestamp() + timedelta(microseconds=number)}
        for number, row in enumerate(rows)
    ]
    statement = insert(TriggerRow).values(ordered).on_conflict_do_nothing().returning(TriggerRow.id)
    return set(await session.scalars(statement))


def event_values(rule: str, trigger_id: str | None, event: Event, ref: RecordRef) -> dict[str, Any]:
    """The row of an event that is kept."""
    return {
        "rule": rule,
        "event_id": event.id,
        "trigger_id": trigger_id,
        "event": event.model_dump(mode="json"),
        "topic": ref.topic,
        "partition": ref.partition,
        "offset": ref.offset,
        "occurred_at": event.time,
    }
