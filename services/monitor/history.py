"""What Postgres knows of alerts and runs, read for the REST interface."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor import EpisodeRow, RunRow
from services.monitor.paging import Place
from services.monitor.runs import ENDED

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
_QUANTILES = {"p50_s": 0.5, "p90_s": 0.9, "p95_s": 0.95, "p99_s": 0.99}


async def alerts(
    session: AsyncSession,
    *,
    status: str | None,
    rule: str | None,
    severity: str | None,
    after: Place | None,
    limit: int,
) -> Sequence[EpisodeRow]:
    """Episodes, the newest first."""
    query = select(EpisodeRow).order_by(EpisodeRow.starts_at.desc(), EpisodeRow.episode.desc()).limit(limit)
    for column, wanted in ((EpisodeRow.status, status), (EpisodeRow.rule, rule), (EpisodeRow.severity, severity)):
        if wanted is not None:
            query = query.where(column == wanted)
    if after is not None:
        query = query.where(tuple_(EpisodeRow.starts_at, EpisodeRow.episode) < (after.at, after.id))
    return (await session.execute(query)).scalars().all()


async def recent_runs(
    session: AsyncSession, *, deployment: str | None, state: str | None, after: Place | None, limit: int
) -> Sequence[RunRow]:
    """Runs by their newest state, the newest first."""
    query = select(RunRow).order_by(RunRow.occurred_at.desc(), RunRow.run_id.desc()).limit(limit)
    if deployment is not None:
        query = query.where(RunRow.deployment == deployment)
    if state is not None:
        query = query.where(RunRow.state_type == state)
    if after is not None:
        query = query.where(tuple_(RunRow.occurred_at, RunRow.run_id) < (after.at, after.id))
    return (await session.execute(query)).scalars().all()


async def flows(session: AsyncSession, now: datetime) -> list[dict[str, Any]]:
    """Per flow and deployment: ended runs per hour, day and week, and success and duration of the last week's."""
    newest = {(row.flow, row.deployment): row for row in await session.execute(_newest_states())}
    found = {(row.flow, row.deployment): row for row in await session.execute(_statistics(now))}
    return [_flow(state, found.get(key)) for key, state in sorted(newest.items(), key=lambda item: str(item[0]))]


def _statistics(now: datetime) -> Select[Any]:
    completed = func.count().filter(RunRow.state_type == "COMPLETED")
    # A cancelled run says nothing about the flow.
    judged = func.count().filter(RunRow.state_type.in_(("COMPLETED", "FAILED", "CRASHED")))
    quantiles = [func.percentile_cont(q).within_group(RunRow.duration_s).label(name) for name, q in _QUANTILES.items()]
    return (
        select(
            RunRow.flow,
            RunRow.deployment,
            func.count().filter(RunRow.occurred_at > now - HOUR).label("runs_hour"),
            func.count().filter(RunRow.occurred_at > now - DAY).label("runs_day"),
            func.count().label("runs_week"),
            completed.label("completed"),
            judged.label("judged"),
            func.avg(RunRow.duration_s).label("mean_s"),
            *quantiles,
        )
        .where(RunRow.state_type.in_(ENDED), RunRow.occurred_at > now - WEEK, RunRow.occurred_at <= now)
        .group_by(RunRow.flow, RunRow.deployment)
    )


def _newest_states() -> Any:
    return (
        select(RunRow.flow, RunRow.deployment, RunRow.run_id, RunRow.state_type, RunRow.state_name, RunRow.occurred_at)
        .distinct(RunRow.flow, RunRow.deployment)
        .order_by(RunRow.flow, RunRow.deployment, RunRow.occurred_at.desc())
    )


def _flow(state: Any, found: Any) -> dict[str, Any]:
    return {
        "flow": state.flow,
        "deployment": state.deployment,
        "last_run_id": state.run_id,
        "last_state": state.state_name,
        "last_state_type": state.state_type,
        "last_state_at": state.occurred_at,
        "runs_hour": found.runs_hour if found else 0,
        "runs_day": found.runs_day if found else 0,
        "runs_week": found.runs_week if found else 0,
        "success_rate": found.completed / found.judged if found and found.judged else None,
        "duration": {name: getattr(found, name) if found else None for name in ("mean_s", *_QUANTILES)},
    }
