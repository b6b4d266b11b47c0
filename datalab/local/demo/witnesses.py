"""Asking the systems: Prefect's API, MLflow's registry, the Delta tables, the notifier's ledger and the
inbox. Reads only, but for the demonstration's own webhook subscription."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast
from urllib.parse import quote

import httpx
from deltalake import DeltaTable

POLL_S = 0.25
T = TypeVar("T")


async def until(ask: Callable[[], Awaitable[T | None]], timeout_s: float) -> T:
    """The first answer that is not None; raises TimeoutError. A system that is away is asked again."""
    async with asyncio.timeout(timeout_s):
        while True:
            try:
                if (answer := await ask()) is not None:
                    return answer
            except (httpx.TransportError, httpx.HTTPStatusError):
                pass
            await asyncio.sleep(POLL_S)


class Prefect:
    """What Prefect's API says of runs. `api_url` ends with /api."""

    def __init__(self, client: httpx.AsyncClient, api_url: str) -> None:
        self._client, self._api = client, api_url.rstrip("/")

    async def runs_of(self, event_id: str, deployment: str) -> list[dict[str, Any]]:
        """Every run of this deployment (flow/name) that carries the tag of this event."""
        body = {
            "flow_runs": {"tags": {"all_": [f"datalab.event={event_id}"]}},
            "deployments": {"name": {"any_": [deployment.partition("/")[2]]}},
        }
        answer = await self._client.post(f"{self._api}/flow_runs/filter", json=body)
        return cast(list[dict[str, Any]], answer.raise_for_status().json())

    def link(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self._api.removesuffix('/api')}/runs/flow-run/{run_id}"


class MLflow:
    """What MLflow's model registry says."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client, self._url = client, url.rstrip("/")

    async def champion(self, model: str) -> dict[str, Any] | None:
        """The version that bears the alias `champion`: its `version` and `run_id` among others; None without one."""
        address = f"{self._url}/api/2.0/mlflow/registered-models/alias"
        answer = await self._client.get(address, params={"name": model, "alias": "champion"})
        if answer.status_code in {400, 404}:
            return None
        return cast(dict[str, Any], answer.raise_for_status().json()["model_version"])

    def link(self, model: str, version: str) -> str:
        """The page of a version."""
        return f"{self._url}/#/models/{quote(model)}/versions/{quote(version)}"


class Inbox:
    """What arrived at the local inbox."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client, self.url = client, url.rstrip("/")

    async def messages(self, channel: str, contains: str) -> list[dict[str, Any]]:
        """Messages of a channel (email, slack, teams, webhook) whose text contains this, oldest first."""
        answer = await self._client.get(f"{self.url}/api/messages", params={"channel": channel, "contains": contains})
        return cast(list[dict[str, Any]], answer.raise_for_status().json()["messages"])

    async def keep_secret(self, name: str, secret: str) -> None:
        """Let the inbox verify the signatures of webhooks sent to /webhooks/NAME."""
        answer = await self._client.put(f"{self.url}/api/webhooks/{quote(name)}/secret", json={"secret": secret})
        answer.raise_for_status()


class Notifier:
    """The notifier's subscriptions and its ledger."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client, self._url = client, url.rstrip("/")

    async def ledger(self) -> dict[str, Any]:
        """due, delivered, pending, suppressed, dead."""
        answer = await self._client.get(f"{self._url}/v1/ledger")
        return cast(dict[str, Any], answer.raise_for_status().json())

    async def subscribe(self, name: str, url: str, event_types: list[str]) -> str:
        """Create or find the subscription and return a secret that is valid from now on."""
        body = {"name": name, "url": url, "event_types": event_types}
        answer = await self._client.post(f"{self._url}/v1/subscriptions", json=body)
        if not answer.is_success:
            raise ConnectionError(f"the notifier refused the demonstration's subscription: {answer.text[:300]}")
        created = answer.json()
        if secret := created.get("secret"):
            return cast(str, secret)
        # It was there already, and a secret is shown only once: take a new one.
        rotated = await self._client.post(f"{self._url}/v1/subscriptions/{created['id']}:rotate-secret")
        return cast(str, rotated.raise_for_status().json()["secret"])


async def delta_rows(table: str, version: int, *, only: tuple[str, str] | None = None) -> int:
    """Rows of a version of a Delta table, read without Spark; `only` is a column and the value it must have."""

    def count() -> int:
        dataset = DeltaTable(table, version=version).to_pyarrow_dataset()
        if only is None:
            return int(dataset.count_rows())
        import pyarrow.dataset as ds

        return int(dataset.count_rows(filter=ds.field(only[0]) == only[1]))

    return await asyncio.to_thread(count)
