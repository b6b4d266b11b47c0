"""The ledger of triggers: what was promised to an event, and what became of it. Postgres only; knows no Prefect."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, String, func, or_, select, tuple_, update, values
from sqlalchemy import column as sql_column
from sqlalchemy.dialects.postgresql import insert

from datalab.bus.publisher import RecordRef
from datalab.store.engine import Sessions
from datalab.store.tables.bridge import RunStateRow, TriggerEventRow, TriggerRow
from schemas.envelope import Event
from services.bridge.decisions import Decision, idempotency_key, trigger_id


class Ledger:
    """Rows of bridge_triggers. Each method is one transaction, safe beside other instances."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def open(self, decision: Decision, event: Event, ref: RecordRef) -> tuple[TriggerRow, bool]:
        """The trigger's row, and whether it is new. A row that is there wins, so that a repeat asks Prefect for
        the very same run; only a dead one starts over, with the rule as it is now."""
        row = trigger_values(decision, event, ref)
        async with self._sessions.begin() as session:
            inserted = await session.scalar(
                insert(TriggerRow).values(row).on_conflict_do_nothing().returning(TriggerRow.id)
            )
            found = await session.get_one(TriggerRow, row["id"], with_for_update=inserted is None)
            if found.status == "dead":
                start_over(found, row)
            return found, inserted is not None

    async def open_many(
        self, matches: Sequence[tuple[Decision, Event, RecordRef]]
    ) -> tuple[list[TriggerRow], list[TriggerRow]]:
        """The rows of these triggers that still wait for their run, in order; and those of them that are new.

        What has a run, or is dead, is left to `open`."""
        wanted = {trigger_id(d.rule.name, event.id): trigger_values(d, event, ref) for d, event, ref in matches}
        waiting = select(TriggerRow).where(TriggerRow.id.in_(wanted), TriggerRow.status == "pending")
        async with self._sessions.begin() as session:
            # A transaction has one `now()`; pages of triggers want an order.
            ordered = [
                {**row, "created_at": func.clock_timestamp() + timedelta(microseconds=number)}
                for number, row in enumerate(wanted.values())
            ]
            statement = insert(TriggerRow).values(ordered).on_conflict_do_nothing()
            new = set(await session.scalars(statement.returning(TriggerRow.id)))
            found = {row.id: row for row in await session.scalars(waiting)}
        rows = [found[id_] for id_ in wanted if id_ in found]
        return rows, [row for row in rows if row.id in new]

    async def created_many(self, runs: Mapping[str, str]) -> set[str]:
        """Note the runs of triggers, by trigger; returns the triggers that no other instance had settled before."""
        if not runs:
            return set()
        given = values(sql_column("id", String), sql_column("run", String), name="given").data(list(runs.items()))
        statement = (
            update(TriggerRow)
            .where(TriggerRow.id == given.c.id, TriggerRow.status != "created")
            .values(status="created", flow_run_id=given.c.run, reason=None, updated_at=func.now())
            .returning(TriggerRow.id)
        )
        async with self._sessions.begin() as session:
            return set(await session.scalars(statement))

    async def created(self, id_: str, flow_run_id: str) -> bool:
        """Note the run; False if another instance did so before."""
        return await self._settle(id_, status="created", flow_run_id=flow_run_id, reason=None)

    async def dead(self, id_: str, reason: str) -> bool:
        """Note why there is no run. A trigger with a run never dies."""
        return await self._settle(id_, status="dead", reason=reason[:2000])

    async def _settle(self, id_: str, **values: str | None) -> bool:
        statement = (
            update(TriggerRow)
            .where(TriggerRow.id == id_, TriggerRow.status != "created")
            .values(**values, updated_at=func.now())
            .returning(TriggerRow.id)
        )
        async with self._sessions.begin() as session:
            return await session.scalar(statement) is not None

    async def get(self, id_: str) -> TriggerRow | None:
        """One trigger."""
        async with self._sessions() as session:
            return await session.get(TriggerRow, id_)

    async def page(
        self, *, size: int, token: str | None, event_id: str | None, rule: str | None, status: str | None
    ) -> tuple[Sequence[TriggerRow], str | None]:
        """Triggers, newest first, and the token of the next page. Raises ValueError for a strange token."""
        query = select(TriggerRow).order_by(TriggerRow.created_at.desc(), TriggerRow.id.desc()).limit(size + 1)
        if event_id is not None:
            query = query.where(_of(event_id))
        for column, value in ((TriggerRow.rule, rule), (TriggerRow.status, status)):
            if value is not None:
                query = query.where(column == value)
        if token is not None:
            query = query.where(tuple_(TriggerRow.created_at, TriggerRow.id) < _from_token(token))
        async with self._sessions() as session:
            rows = (await session.scalars(query)).all()
        return rows[:size], _to_token(rows[size - 1]) if len(rows) > size else None

    async def chain(self, event_id: str) -> Sequence[TriggerRow]:
        """The triggers of the event and of every event of its chain, oldest first."""
        async with self._sessions() as session:
            own = select(TriggerRow.correlation_id).where(_of(event_id))
            chains = {event_id, *(await session.scalars(own))}
            query = select(TriggerRow).where(or_(_of(event_id), TriggerRow.correlation_id.in_(chains)))
            return (await session.scalars(query.order_by(TriggerRow.created_at, TriggerRow.id))).all()

    async def states(self, run_ids: Iterable[str]) -> Sequence[RunStateRow]:
        """The known states of these runs, in order."""
        query = select(RunStateRow).where(RunStateRow.run_id.in_(list(run_ids))).order_by(RunStateRow.seq)
        async with self._sessions() as session:
            return (await session.scalars(query)).all()


def _of(event_id: str) -> ColumnElement[bool]:
    """Triggers of this event, also those of windows that it is one of several events of."""
    windows = select(TriggerEventRow.trigger_id).where(TriggerEventRow.event_id == event_id)
    return or_(TriggerRow.event_id == event_id, TriggerRow.id.in_(windows))


def start_over(dead: TriggerRow, fresh: Mapping[str, Any]) -> None:
    """Give a dead trigger another life, with the rule as it is now. If it had a run, the next one has another key."""
    attempt = dead.attempt
    if dead.flow_run_id is not None:
        note_attempt(dead)
    for name in ("deployment", "parameters", "tags", "options", "rule_version", "key", "status"):
        setattr(dead, name, fresh[name])
    if dead.attempt == attempt:
        dead.idempotency_key = fresh["idempotency_key"]
    else:
        dead.idempotency_key = attempt_key(fresh["idempotency_key"], dead.attempt)
    dead.reason, dead.due_at, dead.retries = None, None, 0


def note_attempt(row: TriggerRow) -> None:
    """Put the run that ended among the earlier ones, and make room for the next: `attempt` is its number."""
    row.earlier_runs = [*row.earlier_runs, {"run": row.flow_run_id, "state": row.run_state}]
    row.attempt += 1
    row.flow_run_id, row.run_state, row.run_finished, row.followed_up = None, None, False, False


def attempt_key(key: str, attempt: int) -> str:
    """The idempotency key of a further attempt, from that of the first."""
    return f"{key}:attempt-{attempt}"


def trigger_values(decision: Decision, event: Event, ref: RecordRef) -> dict[str, Any]:
    """The row of a trigger whose run is to be created now. What failed to be rendered has no version yet."""
    deployment = decision.rule.spec.run.deployment
    return {
        "id": trigger_id(decision.rule.name, event.id),
        "rule": decision.rule.name,
        "event_id": event.id,
        "event_type": event.type,
        "correlation_id": event.correlation,
        "topic": ref.topic,
        "partition": ref.partition,
        "offset": ref.offset,
        "deployment": deployment,
        "idempotency_key": idempotency_key(decision.rule.name, deployment, event),
        "parameters": decision.parameters,
        "tags": decision.tags,
        "options": decision.options,
        "key": decision.key,
        "rule_version": decision.rule.version if decision.outcome == "matched" else "",
        "status": "pending",
    }


def _to_token(row: TriggerRow) -> str:
    return base64.urlsafe_b64encode(json.dumps([row.created_at.isoformat(), row.id]).encode()).decode()


def _from_token(token: str) -> tuple[datetime, str]:
    try:
        at, id_ = json.loads(base64.urlsafe_b64decode(token.encode()))
        # The database compares aware times only.
        return datetime.fromisoformat(at).astimezone(UTC), str(id_)
    except (binascii.Error, ValueError, TypeError, OverflowError) as error:
        raise ValueError("page_token: is not one that this service gave; leave it out to start anew") from error
