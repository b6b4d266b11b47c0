"""Figures of ended runs, of the last hour, day and seven days: per flow, per deployment and in all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Float, Select, and_, case, cast, extract, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from datalab.store.tables.monitor import RunRow
from schemas.metrics import RUN_CPU, RUN_MEMORY_PEAK
from services.monitor.deployments import Newest, newest_runs
from services.monitor.history import cost_of_run, with_costs
from services.monitor.runs import ENDED, RUNNING

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
QUANTILES = {"p50_s": 0.5, "p90_s": 0.9, "p95_s": 0.95, "p99_s": 0.99}
By = Literal["deployment", "flow"]
_KEYS: dict[By, tuple[InstrumentedAttribute[Any], ...]] = {
    "deployment": (RunRow.flow, RunRow.deployment),
    "flow": (RunRow.flow,),
}
_RETRIES = {"retries_hour": HOUR, "retries_day": DAY, "retries_week": WEEK}


async def flows(session: AsyncSession, now: datetime, by: By = "deployment") -> list[dict[str, Any]]:
    """Per flow and deployment, or per flow: the newest run, runs under way, and the figures of those that ended."""
    keys = _KEYS[by]

    async def of_each(query: Select[Any]) -> dict[tuple[Any, ...], Any]:
        return {tuple(getattr(row, key.key) for key in keys): row for row in await session.execute(query)}

    newest = _by(keys, await newest_runs(session))
    found, running = await of_each(_figures(now, *keys)), await of_each(_running(*keys))
    return [
        {
            "flow": key[0],
            "deployment": key[1] if len(key) > 1 else None,
            **_flow(state, found.get(key), running.get(key)),
        }
        for key, state in sorted(newest.items(), key=lambda item: str(item[0]))
    ]


def _by(keys: Sequence[InstrumentedAttribute[Any]], runs: Iterable[Newest]) -> dict[tuple[Any, ...], Newest]:
    """The newest of each key."""
    newest: dict[tuple[Any, ...], Newest] = {}
    for run in runs:
        key = tuple(getattr(run, column.key) for column in keys)
        if key not in newest or newest[key].occurred_at < run.occurred_at:
            newest[key] = run
    return newest


async def totals(session: AsyncSession, now: datetime) -> dict[str, Any]:
    """The figures over all flows, and how many runs are under way."""
    row = (await session.execute(_figures(now))).one()
    running = select(func.count()).where(RunRow.state_type == RUNNING)
    return {
        "runs": {"hour": row.runs_hour, "day": row.runs_day, "week": row.runs_week},
        "running_now": (await session.execute(running)).scalar_one(),
        "success_rate": _rate(row),
        **_measures(row),
    }


def ended_in(now: datetime, length: timedelta) -> ColumnElement[bool]:
    """Runs whose newest state is an end within this time."""
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


def _figures(now: datetime, *by: InstrumentedAttribute[Any]) -> Select[Any]:
    cpu, memory = cost_of_run(RUN_CPU), cost_of_run(RUN_MEMORY_PEAK)
    columns = (
        *by,
        *_counts(now),
        *_spread("duration", RunRow.duration_s),
        *_spread("queue", _queued_s()),
        *(_retries().filter(RunRow.occurred_at > now - length).label(name) for name, length in _RETRIES.items()),
        func.avg(cpu.c.value).label("cpu_mean_s"),
        func.max(cpu.c.value).label("cpu_max_s"),
        func.avg(memory.c.value).label("memory_mean_bytes"),
        func.max(memory.c.value).label("memory_max_bytes"),
    )
    return with_costs(select(*columns), cpu, memory).where(ended_in(now, WEEK)).group_by(*by)


def _spread(name: str, seconds: Any) -> Iterator[ColumnElement[Any]]:
    """Mean and quantiles, those that are not known left out."""
    yield func.avg(seconds).label(f"{name}_mean_s")
    for field, quantile in QUANTILES.items():
        yield func.percentile_cont(quantile).within_group(seconds).label(f"{name}_{field}")


def _queued_s() -> Any:
    """From when the code was to begin until it began; a worker's clock may be behind."""
    known = and_(RunRow.due_at.is_not(None), RunRow.start_time.is_not(None))
    seconds = cast(extract("epoch", RunRow.start_time - RunRow.due_at), Float)
    return case((known, func.greatest(seconds, 0.0)))


def _retries() -> Any:
    return func.sum(func.greatest(RunRow.attempts - 1, 0))


def _running(*by: InstrumentedAttribute[Any]) -> Select[Any]:
    return select(*by, func.count().label("running")).where(RunRow.state_type == RUNNING).group_by(*by)


def _rate(found: Any) -> float | None:
    return found.completed / found.judged if found and found.judged else None


def _flow(state: Newest, found: Any, running: Any) -> dict[str, Any]:
    return {
        "last_run_id": state.run_id,
        "last_state": state.state_name,
        "last_state_type": state.state_type,
        "last_state_at": state.occurred_at,
        "running_now": running.running if running else 0,
        **{name: getattr(found, name, None) or 0 for name in ("runs_hour", "runs_day", "runs_week")},
        "success_rate": _rate(found),
        **_measures(found),
    }


def _measures(found: Any) -> dict[str, Any]:
    def known(name: str) -> Any:
        return getattr(found, name) if found else None

    return {
        "duration": {name: known(f"duration_{name}") for name in ("mean_s", *QUANTILES)},
        "queue": {name: known(f"queue_{name}") for name in ("mean_s", *QUANTILES)},
        "retries": {name.removeprefix("retries_"): known(name) or 0 for name in _RETRIES},
        "cpu": {"mean_s": known("cpu_mean_s"), "max_s": known("cpu_max_s")},
        "memory_peak": {"mean_bytes": known("memory_mean_bytes"), "max_bytes": known("memory_max_bytes")},
    }
