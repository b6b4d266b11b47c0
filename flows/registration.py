"""Telling the Prefect server what `flows.config` declares. It changes only what differs, so it may be repeated.

What a person paused stays paused: neither a deployment nor a schedule is ever activated here.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prefect import Flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.utilities.callables import parameter_schema
from pydantic import ValidationError

from flows.config import DEPLOYMENTS, POOL_TYPE, POOLS, TIMEZONE, Deployment, Pool, project_root
from flows.schedules import remove_retired, schedules_of, synchronise

if TYPE_CHECKING:
    from datalab.runtime.settings import LabSettings

Row = dict[str, Any]


class DeclarationError(ValueError):
    """A deployment of `flows.config` cannot be registered. The message says which, and why."""


async def register(settings: LabSettings, declared: Sequence[Deployment] = DEPLOYMENTS) -> list[Row]:
    """Create the pools and write every deployment. Each row says what changed on the server.

    Raises DeclarationError before anything is written.
    """
    wanted = [(deployment, _checked(settings, deployment)) for deployment in declared]
    async with get_client() as client:
        await asyncio.gather(*(_create_pool(client, pool) for pool in POOLS))
        rows = [await _register(client, deployment, content) for deployment, content in wanted]
        return rows + await _retire(client, {deployment.full_name for deployment in declared})


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


def _checked(settings: LabSettings, deployment: Deployment) -> dict[str, Any]:
    try:
        fault = _fault(deployment)
        content = {} if fault else _content(settings, deployment)
    except ValidationError as error:
        fault = str(error.errors()[0]["msg"])
    except Exception as error:  # whatever a flow's file does when it is loaded
        fault = f"{type(error).__name__}: {error}".replace("\n", " ")
    if fault:
        raise DeclarationError(f"flows/config.py: deployment {deployment.name!r}: {fault}")
    return content


def _fault(deployment: Deployment) -> str | None:
    if deployment.pool not in {pool.name for pool in POOLS}:
        return f"its pool {deployment.pool!r} is none of POOLS"
    flow = _load(deployment.entrypoint)
    if not isinstance(flow, Flow):
        return f"{deployment.entrypoint} is no flow"
    if flow.name != deployment.flow:
        return f"{deployment.entrypoint} is the flow {flow.name!r}, not {deployment.flow!r}"
    schedules_of(deployment)
    return None


async def _register(client: PrefectClient, deployment: Deployment, wanted: dict[str, Any]) -> Row:
    try:
        existing = await client.read_deployment_by_name(deployment.full_name)
    except ObjectNotFound:
        flow_id = await client.create_flow_from_name(deployment.flow)
        identifier = await client.create_deployment(
            flow_id=flow_id, name=deployment.name, schedules=schedules_of(deployment), **wanted
        )
        return _row(deployment, identifier, "created")
    changes = await _update(client, existing, wanted)
    changes += await synchronise(client, deployment, existing)
    return _row(deployment, existing.id, f"updated: {', '.join(changes)}" if changes else "unchanged")


def _content(settings: LabSettings, deployment: Deployment) -> dict[str, Any]:
    """What the server keeps of a deployment, apart from its schedules and from what people may pause."""
    root = str(project_root())
    return {
        "description": deployment.description,
        "tags": list(deployment.tags),
        "work_pool_name": deployment.pool,
        "entrypoint": deployment.entrypoint,
        "path": root,
        "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": root}}],
        "parameters": dict(deployment.parameters(settings)),
        "parameter_openapi_schema": parameter_schema(_load(deployment.entrypoint)).model_dump_for_openapi(),
        "enforce_parameter_schema": True,
    }


async def _update(client: PrefectClient, existing: DeploymentResponse, wanted: dict[str, Any]) -> list[str]:
    """Write the fields that differ, and return their names. The server deletes its planned runs when it is written
    to, and makes them anew: hence nothing is written for nothing."""
    different = {name: value for name, value in wanted.items() if getattr(existing, name) != value}
    if different:
        await client.update_deployment(existing.id, DeploymentUpdate(**different))
    return sorted(different)


async def _retire(client: PrefectClient, declared: set[str]) -> list[Row]:
    """Take the schedules from deployments that were declared once and are no longer. The deployment itself stays,
    with the history of its runs."""
    flows = {flow.id: flow.name for flow in await client.read_flows()}
    rows = []
    for existing in await client.read_deployments():
        name = f"{flows.get(existing.flow_id, '?')}/{existing.name}"
        if name not in declared and await remove_retired(client, existing):
            rows.append(
                {"name": name, "pool": existing.work_pool_name, "schedule": None,
                 "change": "schedule removed: no longer declared", "id": existing.id}
            )  # fmt: skip
    return rows


def _row(deployment: Deployment, identifier: Any, change: str) -> Row:
    return {
        "name": deployment.full_name,
        "pool": deployment.pool,
        "schedule": f"{deployment.cron} {TIMEZONE}" if deployment.cron else None,
        "change": change,
        "id": identifier,
    }


def _load(entrypoint: str) -> Any:
    file, _, function = entrypoint.partition(":")
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    return getattr(module, function)
