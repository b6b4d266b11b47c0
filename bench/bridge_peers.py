"""What the bridge is measured against, and Prefect's REST as the benchmark uses it."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

_AUTOMATION_EVENT = "bench.bridge"
_PATIENCE_S = 300.0


@dataclass(frozen=True)
class Deployment:
    """A deployment that nobody works on: its runs are created and stay scheduled."""

    id: str
    name: str
    flow_id: str


class PrefectApi:
    """One Prefect server."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self._client.base_url)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer; raises httpx.HTTPStatusError."""
        answer = await self._client.request(method, path, json=body)
        return answer.raise_for_status().json() if answer.content else None

    async def deploy(self) -> Deployment:
        """A new deployment."""
        flow = f"bench-{uuid.uuid4().hex[:8]}"
        flow_id = (await self.call("POST", "/flows/", {"name": flow}))["id"]
        body = {"name": "runs", "flow_id": flow_id}
        return Deployment((await self.call("POST", "/deployments/", body))["id"], f"{flow}/runs", flow_id)

    async def forget(self, deployment: Deployment) -> None:
        """Delete it with its flow and all runs. Nobody works on them, and to mark them late, a minute after their time,
        costs the server as much as to create them: the next measurement would pay for it."""
        await self.call("DELETE", f"/flows/{deployment.flow_id}")

    async def count(self, deployment: Deployment) -> int:
        """How many runs it has."""
        body = {"deployments": {"id": {"any_": [deployment.id]}}}
        return int(await self.call("POST", "/flow_runs/count", body))

    async def runs(self, deployment: Deployment) -> list[dict[str, Any]]:
        """Its runs, at most 200."""
        body = {"deployments": {"id": {"any_": [deployment.id]}}, "limit": 200}
        found: list[dict[str, Any]] = await self.call("POST", "/flow_runs/filter", body)
        return found

    async def until_there_are(self, deployment: Deployment, count: int) -> None:
        """Wait for so many runs; raises TimeoutError with the number that is there."""
        deadline = time.monotonic() + _PATIENCE_S
        while (there := await self.count(deployment)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{deployment.name}: {there} of {count} runs after {_PATIENCE_S:.0f} s")
            await asyncio.sleep(0.25)  # to ask costs the server that is measured


async def single_calls(api: PrefectApi, count: int) -> float:
    """Runs per second by Prefect's own client, one call after the other."""
    from prefect.client.orchestration import PrefectClient

    deployment = await api.deploy()
    # Not `get_client`: Prefect reads its settings once, and each round has a server of its own.
    async with PrefectClient(api.url) as client:
        started = time.monotonic()
        for number in range(count):
            await client.create_flow_run_from_deployment(
                uuid.UUID(deployment.id), parameters={"n": number}, idempotency_key=f"{deployment.name}-{number}"
            )
        seconds = time.monotonic() - started
    await api.forget(deployment)
    return count / seconds


async def automation(api: PrefectApi, count: int) -> float:
    """Runs per second by an automation that starts the deployment for each event, from the first event on."""
    deployment = await api.deploy()
    trigger = {
        "type": "event", "posture": "Reactive", "threshold": 1, "within": 0, "expect": [_AUTOMATION_EVENT],
        "match": {"prefect.resource.id": f"bench.{deployment.id}.*"}, "for_each": ["prefect.resource.id"],
    }  # fmt: skip
    action = {
        "type": "run-deployment", "source": "selected", "deployment_id": deployment.id,
        "parameters": {"n": {"__prefect_kind": "jinja", "template": "{{ event.payload.n }}"}},
    }  # fmt: skip
    made = await api.call(
        "POST", "/automations/", {"name": deployment.name, "trigger": trigger, "actions": [action], "enabled": True}
    )
    await asyncio.sleep(3)  # until the server's trigger service knows it
    started = time.monotonic()
    await api.call("POST", "/events", [_event(deployment, number) for number in range(count)])
    await api.until_there_are(deployment, count)
    seconds = time.monotonic() - started
    await api.call("DELETE", f"/automations/{made['id']}")
    await api.forget(deployment)
    return count / seconds


def _event(deployment: Deployment, number: int) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": _AUTOMATION_EVENT,
        "resource": {"prefect.resource.id": f"bench.{deployment.id}.{number}"},
        "payload": {"n": number},
    }
