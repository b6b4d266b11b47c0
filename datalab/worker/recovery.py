"""After a start: the runs that an earlier worker of this name and host left behind.

A run that still has its process is watched again. One that has none and was running has crashed while nobody watched;
one that was only claimed goes back to be started.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.states import Scheduled

from datalab.worker.identity import find, local_pid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

_PAGE = 200
_UNFINISHED = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


async def deployments_of(client: PrefectClient, pool: str) -> list[DeploymentResponse]:
    """Every deployment of the pool."""
    found: list[DeploymentResponse] = []
    while True:
        page = await client.read_deployments(work_pool_filter=_pool(pool), limit=_PAGE, offset=len(found))
        found += page
        if len(page) < _PAGE:
            return found


async def left_behind(client: PrefectClient, pool: str, worker: str, claim: str, own: set[UUID]) -> list[FlowRun]:
    """Unfinished runs of the pool that this worker, in an earlier life, claimed or started on this host."""
    states = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNFINISHED)))
    runs: list[FlowRun] = []
    while True:
        page = await client.read_flow_runs(
            flow_run_filter=states, work_pool_filter=_pool(pool), limit=_PAGE, offset=len(runs)
        )
        runs += page
        if len(page) < _PAGE:
            break
    return [run for run in runs if run.id not in own and _was_ours(run, worker, claim)]


def _was_ours(run: FlowRun, worker: str, claim: str) -> bool:
    if run.infrastructure_pid:
        return run.labels.get("prefect.worker.name") == worker and local_pid(run.infrastructure_pid) is not None
    return run.state is not None and run.state.message == claim


async def resume(
    runs: list[FlowRun],
    client: PrefectClient,
    *,
    watch: Callable[[FlowRun, int | None], Awaitable[None]],
    say: Callable[[str], None],
) -> None:
    """Give each run its due; see the module. `watch` is given a run and its process, None if that has ended."""
    for run in runs:
        pid = await asyncio.to_thread(find, run.id)
        if pid is not None:
            say(f"run {run.name} still goes on as process {pid}; watching it")
            await watch(run, pid)
        elif run.state is not None and run.state.is_pending():
            say(f"run {run.name} was claimed and never started; it is scheduled again")
            await client.set_flow_run_state(run.id, Scheduled(message="Its worker died before it started."), force=True)
        else:
            await watch(run, None)


async def cancelling(client: PrefectClient, flow_run_ids: set[UUID]) -> list[UUID]:
    """Those of the runs that somebody wants cancelled."""
    wanted = FlowRunFilter(
        id=FlowRunFilterId(any_=list(flow_run_ids)),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CANCELLING])),
    )
    return [run.id for run in await client.read_flow_runs(flow_run_filter=wanted)]


def _pool(name: str) -> WorkPoolFilter:
    return WorkPoolFilter(name=WorkPoolFilterName(any_=[name]))
