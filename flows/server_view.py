"""What is on the Prefect server: deployments, workers and runs; and starting a run. It changes no deployment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterExpectedStartTime
from prefect.client.schemas.sorting import DeploymentSort, FlowRunSort

from flows.schedules import describe

Row = dict[str, Any]
_CLOCKS_DIFFER_BY = timedelta(seconds=10)


class UnknownDeploymentError(LookupError):
    """No deployment has that name, or more than one. The message lists the known ones."""

    def __init__(self, name: str, known: list[str], matching: list[str]) -> None:
        if matching:
            super().__init__(f"{name!r} is the name of several deployments, write one in full: {', '.join(matching)}")
            return
        super().__init__(f"unknown deployment {name!r}; known deployments: {', '.join(known) or 'none (run deploy)'}")


async def deployments() -> list[Row]:
    """Every deployment of the server, with its schedules and whether it or they are paused."""
    async with get_client() as client:
        found = await client.read_deployments(sort=DeploymentSort.NAME_ASC)
        flows = {flow.id: flow.name for flow in await client.read_flows()}
    return [
        {
            "name": f"{flows.get(d.flow_id, '?')}/{d.name}",
            "pool": d.work_pool_name,
            "schedule": ", ".join(describe(s.schedule) + ("" if s.active else " (paused)") for s in d.schedules)
            or None,
            "paused": d.paused,
            "status": d.status.value if d.status else None,
            "id": d.id,
        }
        for d in found
    ]


async def workers() -> list[Row]:
    """Every worker that has ever served a pool, and when it was last heard of. Prefect's own command line has no
    such list."""
    async with get_client() as client:
        pools = await client.read_work_pools()
        found = [(pool.name, w) for pool in pools for w in await client.read_workers_for_work_pool(pool.name)]
    return [
        {
            "name": worker.name,
            "pool": pool,
            "status": worker.status.value if worker.status else None,
            "last heard of": worker.last_heartbeat_time,
            "id": worker.id,
        }
        for pool, worker in sorted(found, key=lambda pair: (pair[0], pair[1].name))
    ]


async def recent_runs(limit: int) -> list[Row]:
    """The latest runs that have been or are due, newest first. Those that a schedule plans for later are left out:
    Prefect keeps dozens of them."""
    due = FlowRunFilter(
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC) + _CLOCKS_DIFFER_BY)
    )
    async with get_client() as client:
        names = {d.id: d.name for d in await client.read_deployments()}
        found = await client.read_flow_runs(flow_run_filter=due, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=limit)
    return [
        {
            "name": run.name,
            "deployment": names.get(run.deployment_id) if run.deployment_id else None,
            "state": run.state_name,
            "start": run.start_time,
            "seconds": round(run.total_run_time.total_seconds(), 1),
            "id": run.id,
        }
        for run in found
    ]


async def start_run(name: str, parameters: Mapping[str, Any]) -> Row:
    """Create a run of a deployment, by its name or its full name, without waiting for it."""
    async with get_client() as client:
        found = await client.read_deployments()
        flows = {flow.id: flow.name for flow in await client.read_flows()}
        full_names = {f"{flows.get(d.flow_id)}/{d.name}": d.id for d in found}
        matching = sorted(full for full in full_names if name in {full, full.partition("/")[2]})
        if len(matching) != 1:
            raise UnknownDeploymentError(name, sorted(full_names), matching)
        run = await client.create_flow_run_from_deployment(full_names[matching[0]], parameters=dict(parameters))
    return {"name": run.name, "deployment": matching[0], "state": run.state_name, "id": run.id}
