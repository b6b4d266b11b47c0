"""History of runs: the newest known state of each. Repeats and latecomers change nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, func, literal, null, or_, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.functions import coalesce

from datalab.store.tables.monitor import RunRow
from schemas.envelope import Event, EventData
from schemas.runs import RunCancelled, RunCompleted, RunCrashed, RunFailed, RunLate, RunScheduled, RunStarted

RunState = RunScheduled | RunStarted | RunCompleted | RunFailed | RunCrashed | RunCancelled | RunLate
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
FAILED = ("FAILED", "CRASHED")
RUNNING = "RUNNING"


async def remember(session: AsyncSession, event: Event, data: EventData, now: datetime) -> RunState | None:
    """Store the state if it is news; returns the state then, else None."""
    if not isinstance(data, RunState):
        return None
    ended = data.state_type in ENDED
    # A worker's clock may be ahead; nothing has run since a time that is yet to come.
    started = min(data.start_time or data.occurred_at, now)
    new = insert(RunRow).values(
        run_id=data.run_id,
        run_name=data.run_name,
        flow=data.flow,
        deployment=data.deployment,
        state_type=data.state_type,
        state_name=data.state_name,
        message=data.message,
        occurred_at=data.occurred_at,
        start_time=data.start_time,
        end_time=data.end_time or (data.occurred_at if ended else None),
        duration_s=data.duration_s,
        running_since=started if data.state_type == RUNNING else None,
        event_id=event.id,
        correlation_id=event.correlation,
    )
    upsert = _newest_wins(new, restarted=min(data.occurred_at, now)).returning(RunRow.run_id)
    return data if (await session.execute(upsert)).scalar_one_or_none() else None


async def failures_in_row(session: AsyncSession, flow: str, deployment: str | None) -> int:
    """How many runs of the deployment ended failed or crashed since one of them completed last."""
    same = and_(RunRow.flow == flow, RunRow.deployment == deployment if deployment else RunRow.deployment.is_(None))
    completed = select(func.max(RunRow.occurred_at)).where(same, RunRow.state_type == "COMPLETED").scalar_subquery()
    since = or_(completed.is_(None), RunRow.occurred_at > completed)
    query = select(func.count()).where(same, RunRow.state_type.in_(FAILED), since)
    return int((await session.execute(query)).scalar_one())


def _newest_wins(new: Insert, *, restarted: datetime) -> Insert:
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
        name: case((begins, null()), else_=coalesce(new.excluded[name], getattr(RunRow, name)))
        for name in ("end_time", "duration_s")
    }
    replaced = ("state_type", "state_name", "message", "occurred_at", "run_name", "event_id", "correlation_id")
    return new.on_conflict_do_update(
        index_elements=[RunRow.run_id],
        set_={
            **{name: new.excluded[name] for name in replaced},
            **ends,
            "start_time": coalesce(new.excluded.start_time, RunRow.start_time),
            "running_since": _running_since(new.excluded, restarted),
        },
        where=newer,
    )


def _running_since(state: Any, restarted: datetime) -> Any:
    """From when a run's time counts: its first start, also while it waits for a retry, and none once it has ended.
    Prefect keeps the first start when somebody starts an ended run again; its time counts from then on."""
    return case(
        (state.state_type.in_(ENDED), null()),
        (state.state_type != RUNNING, RunRow.running_since),
        (RunRow.running_since.is_not(None), RunRow.running_since),
        (RunRow.end_time.is_not(None), literal(restarted)),
        else_=state.running_since,
    )
