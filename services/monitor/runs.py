"""History of runs: the newest known state of each. Repeats and latecomers change nothing."""

from __future__ import annotations

from sqlalchemy import and_, or_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.functions import coalesce

from datalab.store.tables.monitor import RunRow
from schemas.envelope import EventData
from schemas.runs import RunCancelled, RunCompleted, RunCrashed, RunFailed, RunLate, RunScheduled, RunStarted

RunState = RunScheduled | RunStarted | RunCompleted | RunFailed | RunCrashed | RunCancelled | RunLate
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


async def remember(session: AsyncSession, data: EventData) -> RunState | None:
    """Store the state if it is news; returns the state then, else None."""
    if not isinstance(data, RunState):
        return None
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
        end_time=data.end_time,
        duration_s=data.duration_s,
    )
    newer = or_(
        RunRow.occurred_at < new.excluded.occurred_at,
        # Two states at one time: the one that ends the run stands.
        and_(
            RunRow.occurred_at == new.excluded.occurred_at,
            new.excluded.state_type.in_(ENDED),
            RunRow.state_type.not_in(ENDED),
        ),
    )
    kept_when_missing = {
        name: coalesce(new.excluded[name], getattr(RunRow, name)) for name in ("start_time", "end_time", "duration_s")
    }
    replaced = {name: new.excluded[name] for name in ("state_type", "state_name", "message", "occurred_at", "run_name")}
    upsert = new.on_conflict_do_update(
        index_elements=[RunRow.run_id], set_={**replaced, **kept_when_missing}, where=newer
    ).returning(RunRow.run_id)
    return data if (await session.execute(upsert)).scalar_one_or_none() else None
