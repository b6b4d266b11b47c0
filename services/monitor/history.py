"""What Postgres knows of alerts and runs, read for the REST interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, func, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.selectable import LateralFromClause

from datalab.store.tables.monitor import EpisodeRow, OverrunRow, RunRow
from datalab.store.tables.monitor_health import MeasurementRow
from schemas.metrics import RUN_CPU, RUN_MEMORY_PEAK
from services.monitor.paging import Place


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts; None is any."""

    status: str | None = None
    rule: str | None = None
    severity: str | None = None

    def applied(self, query: Select[Any]) -> Select[Any]:
        """The query for these alone."""
        pairs = ((EpisodeRow.status, self.status), (EpisodeRow.rule, self.rule), (EpisodeRow.severity, self.severity))
        return query.where(*(column == wanted for column, wanted in pairs if wanted is not None))


@dataclass(frozen=True)
class RunFilter:
    """Which runs, by their newest state; None is any. From `since` on, before `until`."""

    flow: str | None = None
    deployment: str | None = None
    state: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def applied(self, query: Select[Any]) -> Select[Any]:
        """The query for these alone."""
        pairs: tuple[tuple[InstrumentedAttribute[Any], str | None], ...]
        pairs = ((RunRow.flow, self.flow), (RunRow.deployment, self.deployment), (RunRow.state_type, self.state))
        query = query.where(*(column == wanted for column, wanted in pairs if wanted is not None))
        if self.since is not None:
            query = query.where(RunRow.occurred_at >= self.since)
        if self.until is not None:
            query = query.where(RunRow.occurred_at < self.until)
        return query


async def alerts(
    session: AsyncSession, wanted: AlertFilter, *, after: Place | None, limit: int
) -> Sequence[EpisodeRow]:
    """Episodes, the newest first."""
    query = wanted.applied(select(EpisodeRow))
    query = query.order_by(EpisodeRow.starts_at.desc(), EpisodeRow.episode.desc()).limit(limit)
    if after is not None:
        query = query.where(tuple_(EpisodeRow.starts_at, EpisodeRow.episode) < (after.at, after.id))
    return (await session.execute(query)).scalars().all()


async def alert_counts(session: AsyncSession, wanted: AlertFilter) -> dict[str, int]:
    """Episodes by status, on all pages."""
    query = wanted.applied(select(EpisodeRow.status, func.count())).group_by(EpisodeRow.status)
    return {row[0]: row[1] for row in await session.execute(query)}


async def recent_runs(
    session: AsyncSession, wanted: RunFilter, *, after: Place | None, limit: int
) -> list[dict[str, Any]]:
    """Runs by their newest state with what they cost, the newest first."""
    cpu, memory = cost_of_run(RUN_CPU), cost_of_run(RUN_MEMORY_PEAK)
    query = wanted.applied(with_costs(select(RunRow, cpu.c.value, memory.c.value, _limit()), cpu, memory))
    query = query.order_by(RunRow.occurred_at.desc(), RunRow.run_id.desc()).limit(limit)
    if after is not None:
        query = query.where(tuple_(RunRow.occurred_at, RunRow.run_id) < (after.at, after.id))
    return [
        {**_columns(run), "cpu_seconds": cpu_s, "memory_peak_bytes": bytes_, "limit_s": limit_s}
        for run, cpu_s, bytes_, limit_s in await session.execute(query)
    ]


def cost_of_run(measurement: str) -> LateralFromClause:
    """What was measured of a run, by that name: `value`, which may be there before or after the run's states. Looked
    up for each run of the query, or all that is measured of all runs ever would be read to find those of a few."""
    is_of_run = and_(
        MeasurementRow.name == measurement, MeasurementRow.label == RunRow.run_id, MeasurementRow.of == RunRow.flow
    )
    return select(MeasurementRow.value).where(is_of_run).limit(1).lateral()


def with_costs(query: Select[Any], *costs: LateralFromClause) -> Select[Any]:
    """The query over runs with these, each None where it was not measured."""
    query = query.select_from(RunRow)
    for cost in costs:
        query = query.outerjoin(cost, true())
    return query


def _limit() -> Any:
    """The limit that the run has exceeded last, if any."""
    newest = select(OverrunRow.limit_s).where(OverrunRow.run_id == RunRow.run_id)
    return newest.order_by(OverrunRow.running_since.desc()).limit(1).scalar_subquery()


def _columns(run: RunRow) -> dict[str, Any]:
    return {column.key: getattr(run, column.key) for column in RunRow.__table__.columns}
