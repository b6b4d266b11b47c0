"""What Prefect's own pages would tell: runs that are due and do not start, schedules that plan nothing, work pools
whose workers are silent. No event tells of these where the part of Prefect that should is the one that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from flows.watch.findings import Check, Measurement, Subject, one_line
from schemas.metrics import POOL_SILENCE, RUN_WAITING, UNPLANNED

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.filters import FlowRunFilterState
    from prefect.client.schemas.objects import FlowRun, Worker, WorkPool
    from prefect.client.schemas.responses import DeploymentResponse

PLANNING = Subject("prefect", "runs and workers")
_MOST_RUNS = 200
# Prefect plans the runs of a deployment within a minute of its being deployed or resumed.
_SETTLED = timedelta(minutes=5)
# A worker that has been away for longer was taken away, or its pool is not in use.
_GIVEN_UP = timedelta(days=7)


@dataclass(frozen=True)
class PlanningHealth:
    """Every deployment and every work pool, or why Prefect did not tell."""

    check: Check
    figures: tuple[Measurement, ...] = ()


async def look_at_planning(now: datetime, *, deadline_s: float) -> PlanningHealth:
    """Ask the Prefect server; takes no longer than `deadline_s`."""
    try:
        async with asyncio.timeout(deadline_s):
            return PlanningHealth(Check(PLANNING), tuple(await _figures(now)))
    except TimeoutError:
        return PlanningHealth(Check(PLANNING, f"not told within {deadline_s:g} s"))
    except Exception as error:  # whatever Prefect's client raises
        return PlanningHealth(Check(PLANNING, one_line(error)))


async def _figures(now: datetime) -> list[Measurement]:
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        deployments, flows = await client.read_deployments(), await client.read_flows()
        scheduled = [d for d in deployments if _plans(d, now)]
        planned = await _planned(client, {d.id for d in scheduled}, now)
        due = await _due(client, now)
        pools = await client.read_work_pools()
        workers = {pool.name: await client.read_workers_for_work_pool(pool.name) for pool in pools}
    names = {flow.id: flow.name for flow in flows}
    titles = {d.id: f"{names.get(d.flow_id, '?')}/{d.name}" for d in deployments}
    return [
        *waiting(titles, due, now),
        *(Measurement(titles[d.id], UNPLANNED, float(d.id not in planned), "1") for d in scheduled),
        *silences(pools, workers, now),
    ]


def _plans(deployment: DeploymentResponse, now: datetime) -> bool:
    """Whether Prefect should have planned its next run by now."""
    active = not deployment.paused and any(schedule.active for schedule in deployment.schedules)
    return active and (deployment.updated is None or now - deployment.updated > _SETTLED)


async def _due(client: PrefectClient, now: datetime) -> list[FlowRun]:
    """Runs that are due and have not started, the longest waiting first."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterExpectedStartTime
    from prefect.client.schemas.sorting import FlowRunSort

    due = FlowRunFilter(
        state=_in_state("SCHEDULED", "PENDING"), expected_start_time=FlowRunFilterExpectedStartTime(before_=now)
    )
    return await client.read_flow_runs(flow_run_filter=due, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=_MOST_RUNS)


async def _planned(client: PrefectClient, scheduled: Set[UUID], now: datetime) -> set[UUID]:
    """Which of these deployments have a run that is yet to come. One that runs often fills a page of its own, so that
    the rest is asked for again."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterDeploymentId,
        FlowRunFilterExpectedStartTime,
    )

    found: set[UUID] = set()
    while missing := scheduled - found:
        planned = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=list(missing)),
            state=_in_state("SCHEDULED"),
            expected_start_time=FlowRunFilterExpectedStartTime(after_=now),
        )
        page = await client.read_flow_runs(flow_run_filter=planned, limit=_MOST_RUNS)
        new = {run.deployment_id for run in page if run.deployment_id}
        if not new:
            break
        found |= new
    return found


def _in_state(*types: str) -> FlowRunFilterState:
    from prefect.client.schemas.filters import FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType

    return FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType(name) for name in types]))


def waiting(titles: Mapping[UUID, str], due: Iterable[FlowRun], now: datetime) -> list[Measurement]:
    """How long the longest waiting run of each deployment has been due; 0 if none waits. A run between two tries has
    started before, and is not waiting for anybody."""
    longest = dict.fromkeys(titles.values(), 0.0)
    for run in due:
        title = titles.get(run.deployment_id) if run.deployment_id else None
        if title is not None and run.start_time is None and run.expected_start_time is not None:
            longest[title] = max(longest[title], (now - run.expected_start_time).total_seconds())
    return [Measurement(title, RUN_WAITING, seconds, "s") for title, seconds in longest.items()]


def silences(pools: Iterable[WorkPool], workers: Mapping[str, Sequence[Worker]], now: datetime) -> list[Measurement]:
    """How long no worker of a pool was heard of. A pool that never had one, or is paused, is nobody's work."""
    found = []
    for pool in pools:
        heard = [w.last_heartbeat_time for w in workers[pool.name] if w.last_heartbeat_time is not None]
        if not heard or pool.is_paused or now - max(heard) > _GIVEN_UP:
            continue
        found.append(Measurement(pool.name, POOL_SILENCE, max(0.0, (now - max(heard)).total_seconds()), "s"))
    return found
