"""Figures of ended runs, of the last hour, day and seven days: per flow and deployment, in all, and over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from datalab.store.tables.monitor import RunRow
from datalab.store.tables.monitor_health import MeasurementRow
from services.monitor.history import with_cost
from services.monitor.runs import ENDED, RUNNING

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
QUANTILES = {"p50_s": 0.5, "p90_s": 0.9, "p95_s": 0.95, "p99_s": 0.99}
# Length of a period and of its buckets, which are aligned in UTC.
PERIODS = {
    "hour": (HOUR, timedelta(minutes=5)),
    "day": (DAY, HOUR),
    "week": (WEEK, timedelta(hours=6)),
}


class Histogram(NamedTuple):
    """Counts of ended runs by bucket, flow, deployment and final state. The first bucket begins before `since`."""

    bucket: timedelta
    since: datetime
    starts: list[datetime]
    counts: list[dict[str, Any]]


async def flows(session: AsyncSession, now: datetime) -> list[dict[str, Any]]:
    """Per flow and deployment: the newest run, runs under way, and the figures of those that ended."""
    newest = {(row.flow, row.deployment): row for row in await session.execute(_newest_states())}
    found = {(row.flow, row.deployment): row for row in await session.execute(_figures(now))}
    running = {(row.flow, row.deployment): row.running for row in await session.execute(_running())}
    return [
        _flow(state, found.get(key), running.get(key, 0))
        for key, state in sorted(newest.items(), key=lambda item: str(item[0]))
    ]


async def totals(session: AsyncSession, now: datetime) -> dict[str, Any]:
    """Counts and success over all flows, and how many run now."""
    row = (await session.execute(select(*_counts(now)).where(_ended_in(now, WEEK)))).one()
    running = select(func.count()).where(RunRow.state_type == RUNNING)
    return {
        "runs": {"hour": row.runs_hour, "day": row.runs_day, "week": row.runs_week},
        "running_now": (await session.execute(running)).scalar_one(),
        "success_rate": _rate(row),
    }


async def histogram(
    session: AsyncSession, period: str, now: datetime, *, flow: str | None, deployment: str | None
) -> Histogram:
    """Ended runs of the last hour, day or seven days, in buckets."""
    length, bucket = PERIODS[period]
    since = now - length
    first = _floor(since, bucket)
    start = func.date_bin(bucket, RunRow.occurred_at, datetime(2000, 1, 1, tzinfo=UTC)).label("start")
    query = select(start, RunRow.flow, RunRow.deployment, RunRow.state_type, func.count().label("runs"))
    query = query.where(_ended_in(now, length))
    if flow is not None:
        query = query.where(RunRow.flow == flow)
    if deployment is not None:
        query = query.where(RunRow.deployment == deployment)
    keys = (start, RunRow.flow, RunRow.deployment, RunRow.state_type)
    rows = await session.execute(query.group_by(*keys).order_by(*keys))
    starts = [first + bucket * n for n in range((_floor(now, bucket) - first) // bucket + 1)]
    return Histogram(bucket, since, starts, [dict(row) for row in rows.mappings()])


def _floor(time: datetime, bucket: timedelta) -> datetime:
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    return epoch + (time - epoch) // bucket * bucket


def _ended_in(now: datetime, length: timedelta) -> ColumnElement[bool]:
    return and_(RunRow.state_type.in_(ENDED), RunRow.occurred_at > now - length, RunRow.occurred_at <= now)


def _counts(now: datetime) -> tuple[ColumnElement[Any], ...]:
    # A cancelled run says nothing about the flow.
    judged = RunRow.state_type.in_(("COMPLETED", "FAILED", "CRASHED"))
    return (
        func.count().filter(RunRow.occurred_at > now - HOUR).label("runs_hour"),
        func.count().filter(RunRow.occurred_at > now - DAY).label("runs_day"),
        func.count().label("runs_week"),
        func.count().filter(RunRow.state_type == "COMPLETED").label("completed"),
        func.count().filter(judged).label("judged"),
    )


def _figures(now: datetime) -> Select[Any]:
    cpu, memory = aliased(MeasurementRow), aliased(MeasurementRow)
    quantiles = [func.percentile_cont(q).within_group(RunRow.duration_s).label(name) for name, q in QUANTILES.items()]
    columns = (
        RunRow.flow,
        RunRow.deployment,
        *_counts(now),
        func.avg(RunRow.duration_s).label("mean_s"),
        *quantiles,
        func.avg(cpu.value).label("cpu_mean_s"),
        func.max(cpu.value).label("cpu_max_s"),
        func.avg(memory.value).label("memory_mean_bytes"),
        func.max(memory.value).label("memory_max_bytes"),
    )
    query = with_cost(select(*columns), cpu, memory)
    return query.where(_ended_in(now, WEEK)).group_by(RunRow.flow, RunRow.deployment)


def _running() -> Select[Any]:
    query = select(RunRow.flow, RunRow.deployment, func.count().label("running"))
    return query.where(RunRow.state_type == RUNNING).group_by(RunRow.flow, RunRow.deployment)


def _newest_states() -> Select[Any]:
    return (
        select(RunRow.flow, RunRow.deployment, RunRow.run_id, RunRow.state_type, RunRow.state_name, RunRow.occurred_at)
        .distinct(RunRow.flow, RunRow.deployment)
        .order_by(RunRow.flow, RunRow.deployment, RunRow.occurred_at.desc())
    )


def _rate(found: Any) -> float | None:
    return found.completed / found.judged if found and found.judged else None


def _flow(state: Any, found: Any, running: int) -> dict[str, Any]:
    def known(name: str) -> Any:
        return getattr(found, name) if found else None

    return {
        "flow": state.flow,
        "deployment": state.deployment,
        "last_run_id": state.run_id,
        "last_state": state.state_name,
        "last_state_type": state.state_type,
        "last_state_at": state.occurred_at,
        "running_now": running,
        **{name: known(name) or 0 for name in ("runs_hour", "runs_day", "runs_week")},
        "success_rate": _rate(found),
        "duration": {name: known(name) for name in ("mean_s", *QUANTILES)},
        "cpu": {"mean_s": known("cpu_mean_s"), "max_s": known("cpu_max_s")},
        "memory_peak": {"mean_bytes": known("memory_mean_bytes"), "max_bytes": known("memory_max_bytes")},
    }
