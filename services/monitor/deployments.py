"""Which flows and deployments there are, each by its newest run. It takes as long as there are deployments, however
many runs they had."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# From one deployment to the next along `ix_monitor_runs_of_each`, in which each one's newest run comes first: the next
# deployment of the flow, its runs without one, the next flow. Each is sorted as that index is, or Postgres would take
# another and read many runs. DISTINCT ON would read the runs of all ninety days.
_NEWEST = text(
    """
    WITH RECURSIVE newest AS (
        (SELECT flow, deployment, run_id, state_type, state_name, occurred_at FROM monitor_runs
         ORDER BY flow, deployment, occurred_at DESC LIMIT 1)
        UNION ALL
        SELECT following.* FROM newest CROSS JOIN LATERAL (
            SELECT flow, deployment, run_id, state_type, state_name, occurred_at FROM (
                (SELECT 1 AS place, * FROM monitor_runs
                 WHERE flow = newest.flow AND deployment > newest.deployment
                 ORDER BY deployment, occurred_at DESC LIMIT 1)
                UNION ALL
                (SELECT 2, * FROM monitor_runs
                 WHERE newest.deployment IS NOT NULL AND flow = newest.flow AND deployment IS NULL
                 ORDER BY deployment, occurred_at DESC LIMIT 1)
                UNION ALL
                (SELECT 3, * FROM monitor_runs
                 WHERE flow > newest.flow
                 ORDER BY flow, deployment, occurred_at DESC LIMIT 1)
            ) AS candidates ORDER BY place LIMIT 1
        ) AS following
    )
    SELECT * FROM newest
    """
)


class Newest(NamedTuple):
    """The newest run of a deployment, or of a flow's runs without one."""

    flow: str
    deployment: str | None
    run_id: str
    state_type: str
    state_name: str
    occurred_at: datetime


async def newest_runs(session: AsyncSession) -> list[Newest]:
    """Of every flow and deployment that has a run, by flow and deployment."""
    return [Newest(*row) for row in await session.execute(_NEWEST)]
