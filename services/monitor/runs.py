"""History of runs: the newest known state of each. Repeats and latecomers change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, TypeGuard, get_args

from sqlalchemy import and_, bindparam, case, func, null, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.functions import coalesce

from datalab.store.tables.monitor import RunRow
from schemas.envelope import Event, EventData
from schemas.runs import RunCancelled, RunCompleted, RunCrashed, RunFailed, RunLate, RunScheduled, RunStarted
from services.monitor.bulk import as_arrays, rows_of, waves
from services.monitor.reading import Occurrence

RunState = RunScheduled | RunStarted | RunCompleted | RunFailed | RunCrashed | RunCancelled | RunLate
# Looked up, since isinstance is slow with abstract bases.
_TYPES = frozenset(get_args(RunState))
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
FAILED = ("FAILED", "CRASHED")
RUNNING = "RUNNING"
_GIVEN = (
    "run_id", "run_name", "flow", "deployment", "state_type", "state_name", "message", "occurred_at", "start_time",
    "end_time", "duration_s", "running_since", "event_id", "correlation_id", "due_at", "attempts",
)  # fmt: skip


async def remember(session: AsyncSession, occurrences: Sequence[Occurrence], now: datetime) -> list[RunState]:
    """Store the states that are news, in their order, and return those."""
    told = [(event, data) for event, data in occurrences if _is_state(data)]
    statement, news = _newest_wins(), list[RunState]()
    for wave in waves(_lasting(told), key=lambda state: state[1].run_id):
        # Sorted, so that two batches lock them in the same order.
        rows = [_values(event, data, now) for event, data in sorted(wave, key=lambda state: state[1].run_id)]
        stored = await session.execute(statement, {**as_arrays(_GIVEN, rows), "now": now})
        changed = set(stored.scalars())
        news += [data for _, data in wave if data.run_id in changed]
    return news


def _is_state(data: EventData) -> TypeGuard[RunState]:
    return type(data) in _TYPES


def _lasting(states: Sequence[tuple[Event, RunState]]) -> list[tuple[Event, RunState]]:
    """Without repeats, and without states on the way to an end that came with them and says everything: most of a
    backlog's, and storing them would change nothing."""
    once = {(event.id, data.run_id): (event, data) for event, data in states}
    ends: dict[str, datetime] = {}
    for _, data in once.values():
        if data.state_type in ENDED and _says_everything(data):
            ends[data.run_id] = max(data.occurred_at, ends.get(data.run_id, data.occurred_at))

    def is_passed(data: RunState) -> bool:
        return data.run_id in ends and data.occurred_at < ends[data.run_id]

    return [(event, data) for event, data in once.values() if data.state_type in ENDED or not is_passed(data)]


def _says_everything(data: RunState) -> bool:
    return data.start_time is not None and data.end_time is not None and data.duration_s is not None


def _values(event: Event, data: RunState, now: datetime) -> dict[str, Any]:
    ended = data.state_type in ENDED
    # A worker's clock may be ahead; nothing has run since a time that is yet to come.
    started = min(data.start_time or data.occurred_at, now)
    return {
        "run_id": data.run_id,
        "run_name": data.run_name,
        "flow": data.flow,
        "deployment": data.deployment,
        "state_type": data.state_type,
        "state_name": data.state_name,
        "message": data.message,
        "occurred_at": data.occurred_at,
        "start_time": data.start_time,
        "end_time": data.end_time or (data.occurred_at if ended else None),
        "duration_s": data.duration_s,
        "running_since": started if data.state_type == RUNNING else None,
        "event_id": event.id,
        "correlation_id": event.correlation,
        "due_at": data.due_at,
        "attempts": data.attempts,
    }


class StoredRuns:
    """What alert rules ask about runs."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def failures_in_row(self, flow: str, deployment: str | None, until: datetime) -> int:
        """How many runs of the deployment had ended failed or crashed by then, since one of them completed last."""
        same = and_(
            RunRow.flow == flow,
            RunRow.deployment == deployment if deployment else RunRow.deployment.is_(None),
            RunRow.occurred_at <= until,
        )
        completed = select(func.max(RunRow.occurred_at)).where(same, RunRow.state_type == "COMPLETED").scalar_subquery()
        since = or_(completed.is_(None), RunRow.occurred_at > completed)
        query = select(func.count()).where(same, RunRow.state_type.in_(FAILED), since)
        return int((await self._session.execute(query)).scalar_one())

    async def is_over(self, run_id: str, since: datetime) -> bool:
        """Whether the run has ended after that time, by its newest state."""
        ended = select(RunRow.run_id).where(RunRow.run_id == run_id, RunRow.state_type.in_(ENDED))
        return (await self._session.execute(ended.where(RunRow.occurred_at > since))).first() is not None

    async def has_gone_on(self, run_id: str, since: datetime) -> bool:
        """Whether the run has come into any state after that time."""
        later = select(RunRow.run_id).where(RunRow.run_id == run_id, RunRow.occurred_at > since)
        return (await self._session.execute(later)).first() is not None


@cache
def _newest_wins() -> ReturningInsert[tuple[str]]:
    table = RunRow.metadata.tables[RunRow.__tablename__]
    new = insert(table).from_select(_GIVEN, rows_of(table, _GIVEN))
    newer = or_(
        RunRow.occurred_at < new.excluded.occurred_at,
        # Two states at one time: the one that ends the run stands.
        and_(
            RunRow.occurred_at == new.excluded.occurred_at,
            new.excluded.state_type.in_(ENDED),
            RunRow.state_type.not_in(ENDED),
        ),
    )
    # A run that was started again has no end yet; the one it had is kept until then, since it tells that it had one.
    begins = new.excluded.state_type == RUNNING
    ends = {
        name: case((begins, null()), else_=coalesce(new.excluded[name], table.c[name]))
        for name in ("end_time", "duration_s")
    }
    replaced = ("state_type", "state_name", "message", "occurred_at", "run_name", "event_id", "correlation_id")
    return new.on_conflict_do_update(
        index_elements=[RunRow.run_id],
        set_={
            **{name: new.excluded[name] for name in replaced},
            **ends,
            "start_time": coalesce(new.excluded.start_time, RunRow.start_time),
            "due_at": coalesce(new.excluded.due_at, RunRow.due_at),
            "attempts": coalesce(new.excluded.attempts, RunRow.attempts),
            "running_since": _running_since(new.excluded),
        },
        where=newer,
    ).returning(table.c.run_id)


def _running_since(state: Any) -> Any:
    """From when a run's time counts: its first start, also while it waits for a retry, and none once it has ended.
    Prefect keeps the first start when somebody starts an ended run again; its time counts from then on."""
    restarted = func.least(state.occurred_at, bindparam("now", type_=RunRow.occurred_at.type))
    return case(
        (state.state_type.in_(ENDED), null()),
        (state.state_type != RUNNING, RunRow.running_since),
        (RunRow.running_since.is_not(None), RunRow.running_since),
        (RunRow.end_time.is_not(None), restarted),
        else_=state.running_since,
    )
