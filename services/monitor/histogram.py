"""Counts of ended runs over the last hour, day or seven days, in buckets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor import RunRow
from services.monitor.statistics import DAY, HOUR, WEEK, ended_in

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


async def histogram(
    session: AsyncSession, period: str, now: datetime, *, flow: str | None, deployment: str | None
) -> Histogram:
    """Ended runs of the last hour, day or seven days, in buckets."""
    length, bucket = PERIODS[period]
    since = now - length
    first = _floor(since, bucket)
    start = func.date_bin(bucket, RunRow.occurred_at, datetime(2000, 1, 1, tzinfo=UTC)).label("start")
    query = select(start, RunRow.flow, RunRow.deployment, RunRow.state_type, func.count().label("runs"))
    query = query.where(ended_in(now, length))
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
