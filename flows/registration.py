"""Pools, deployments and runs on the Prefect server, through its API. Idempotent; prints nothing."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import DeploymentSort, FlowRunSort
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.utilities.callables import parameter_schema

from flows.config import DEPLOYMENTS, POOL_TYPE, POOLS, TIMEZONE, Deployment, Pool, project_root

if TYPE_CHECKING:
    from datalab.runtime.settings import LabSettings

Row = dict[str, Any]


class UnknownDeploymentError(LookupError):
    """No deployment has that name. The message lists the known ones."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"unknown deployment {name!r}; known deployments: {', '.join(known) or 'none (run deploy)'}")


async def register(settings: LabSettings) -> list[Row]:
    """Create the pools and write every deployment; what exists is brought up to date."""
    async with get_client() as client:
        await asyncio.gather(*(_create_pool(client, pool) for pool in POOLS))
        return [await _register(client, settings, deployment) for deployment in DEPLOYMENTS]


async def deployments() -> list[Row]:
    """Every deployment of the server."""
    async with get_client() as client:
        found = await client.read_deployments(sort=DeploymentSort.NAME_ASC)
        flows = {flow.id: flow.name for flow in await client.read_flows()}
    return [
        {
            "name": f"{flows.get(d.flow_id, '?')}/{d.name}",
            "pool": d.work_pool_name,
            "paused": d.paused,
            "schedule": ", ".join(getattr(s.schedule, "cron", str(s.schedule)) for s in d.schedules) or None,
            "status": d.status.value if d.status else None,
            "id": d.id,
        }
        for d in found
    ]


async def recent_runs(limit: int) -> list[Row]:
    """The latest runs that are due or have been, newest first."""
    async with get_client() as client:
        names = {d.id: d.name for d in await client.read_deployments()}
        found = await client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=limit)
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
        matching = [full for full in full_names if name in {full, full.partition("/")[2]}]
        if len(matching) != 1:
            raise UnknownDeploymentError(name, sorted(full_names))
        run = await client.create_flow_run_from_deployment(full_names[matching[0]], parameters=dict(parameters))
    return {"name": run.name, "deployment": matching[0], "state": run.state_name, "id": run.id}


async def _create_pool(client: PrefectClient, pool: Pool) -> None:
    try:
        await client.read_work_pool(pool.name)
    except ObjectNotFound:
        try:
            await client.create_work_pool(
                WorkPoolCreate(
                    name=pool.name, type=POOL_TYPE, description=pool.description, base_job_template=_job_template()
                )
            )
        except ObjectAlreadyExists:  # somebody else was quicker
            return


def _job_template() -> dict[str, Any]:
    from prefect.workers.process import ProcessWorker

    return ProcessWorker.get_default_base_job_template()


async def _register(client: PrefectClient, settings: LabSettings, deployment: Deployment) -> Row:
    flow = _load(deployment.entrypoint)
    flow_id = await client.create_flow_from_name(deployment.flow)
    root = str(project_root())
    identifier = await client.create_deployment(
        flow_id=flow_id,
        name=deployment.name,
        description=deployment.description,
        tags=list(deployment.tags),
        work_pool_name=deployment.pool,
        entrypoint=deployment.entrypoint,
        path=root,
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": root}}],
        parameters=dict(deployment.parameters(settings)),
        parameter_openapi_schema=parameter_schema(flow).model_dump_for_openapi(),
        enforce_parameter_schema=True,
        schedules=_schedules(deployment),
    )
    return {
        "name": deployment.full_name,
        "pool": deployment.pool,
        "schedule": f"{deployment.cron} {TIMEZONE}" if deployment.cron else None,
        "id": identifier,
    }


def _schedules(deployment: Deployment) -> list[DeploymentScheduleCreate]:
    if deployment.cron is None:
        return []
    schedule = CronSchedule(cron=deployment.cron, timezone=TIMEZONE)
    return [DeploymentScheduleCreate(schedule=schedule, slug=deployment.name)]


def _load(entrypoint: str) -> Any:
    file, _, function = entrypoint.partition(":")
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    return getattr(module, function)
