"""Alerts about single runs that fire though the run has gone on, as its newest state tells.

Ends of runs are not remembered for each run (`AlertRule.remembers_ends`). Where a partition changes hands, the end of a
run and the event that raises its alert may be stored at the same moment, neither knowing of the other. The state is
stored all the same; here it is taken for the event that told it.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor import EpisodeRow, RunRow
from schemas.envelope import Event
from schemas.runs import RunCancelled, RunCompleted, RunCrashed, RunFailed, RunStarted
from services.monitor.reading import Occurrence
from services.monitor.rules import AlertRule

_TOLD_BY: dict[str, type[RunStarted | RunCompleted | RunFailed | RunCrashed | RunCancelled]] = {
    "RUNNING": RunStarted,
    "COMPLETED": RunCompleted,
    "FAILED": RunFailed,
    "CRASHED": RunCrashed,
    "CANCELLED": RunCancelled,
}


async def overlooked(session: AsyncSession, rules: Iterable[AlertRule]) -> list[tuple[AlertRule, Occurrence]]:
    """For each such alert its rule, and the event that should have ended it; whether it does is the rule's decision."""
    single = {rule.name: rule for rule in rules if not rule.remembers_ends}
    query = select(EpisodeRow.rule, RunRow).join(RunRow, EpisodeRow.labels["run_id"].astext == RunRow.run_id)
    query = query.where(
        EpisodeRow.status == "firing", EpisodeRow.rule.in_(list(single)), RunRow.state_type.in_(list(_TOLD_BY))
    )
    found = [(single[name], _occurrence(run)) for name, run in await session.execute(query)]
    return [(rule, occurrence) for rule, occurrence in found if occurrence.event.type in rule.resolved_by]


def _occurrence(run: RunRow) -> Occurrence:
    data = _TOLD_BY[run.state_type](
        run_id=run.run_id, run_name=run.run_name, flow=run.flow, deployment=run.deployment, state_id=run.event_id or "",
        state_type=run.state_type, state_name=run.state_name, message=run.message, occurred_at=run.occurred_at,
        start_time=run.start_time, end_time=run.end_time, duration_s=run.duration_s,
    )  # fmt: skip
    event = Event(
        id=run.event_id or run.run_id, source="datalab/monitor", type=data.type, time=run.occurred_at,
        data=data.model_dump(mode="json", exclude_none=True), correlationid=run.correlation_id,
    )  # fmt: skip
    return Occurrence(event, data)
