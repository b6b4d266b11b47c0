"""Schedules on the Prefect server: what `flows.config` declares is there, what it does not declare is not.

A schedule is recognised by its slug, the deployment's name, so that its id and a pause survive a change of its time.
"""

from __future__ import annotations

from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule

from flows.config import TIMEZONE, Deployment


def schedules_of(deployment: Deployment) -> list[DeploymentScheduleCreate]:
    """The schedules that a deployment is declared with: one, or none."""
    if deployment.cron is None:
        return []
    schedule = CronSchedule(cron=deployment.cron, timezone=TIMEZONE)
    return [DeploymentScheduleCreate(schedule=schedule, slug=deployment.name)]


async def synchronise(client: PrefectClient, deployment: Deployment, existing: DeploymentResponse) -> list[str]:
    """Make the server's schedules those declared, and say what was done."""
    changes = []
    kept = set()
    for wanted in schedules_of(deployment):
        found = next((s for s in existing.schedules if s.slug == wanted.slug), None)
        if found is None:
            await client.create_deployment_schedules(existing.id, [wanted])
            changes.append(f"schedule {deployment.cron} added")
            continue
        kept.add(found.id)
        if _time_of(found.schedule) != _time_of(wanted.schedule):
            await client.update_deployment_schedule(existing.id, found.id, schedule=wanted.schedule)
            changes.append(f"schedule {describe(found.schedule)} replaced")
    for left in existing.schedules:
        if left.id not in kept:
            await client.delete_deployment_schedule(existing.id, left.id)
            changes.append(f"schedule {describe(left.schedule)} removed")
    return changes


async def remove_retired(client: PrefectClient, existing: DeploymentResponse) -> bool:
    """Delete the schedules of ours from a deployment that is no longer declared; whether there were any."""
    ours = [schedule for schedule in existing.schedules if schedule.slug == existing.name]
    for schedule in ours:
        await client.delete_deployment_schedule(existing.id, schedule.id)
    return bool(ours)


def describe(schedule: Any) -> str:
    """A schedule in one line: its cron expression or interval, and the time zone."""
    time = getattr(schedule, "cron", None) or getattr(schedule, "interval", None) or getattr(schedule, "rrule", "?")
    return f"{time} {getattr(schedule, 'timezone', None) or 'UTC'}"


def _time_of(schedule: Any) -> tuple[Any, ...]:
    return type(schedule), describe(schedule), getattr(schedule, "day_or", None)
