"""Creating flow runs of named deployments. A repeat with the same key returns the run that is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from services.bridge.prefect_http import PrefectHttp, PrefectRefusedError

# Prefect takes 100; a run takes it 20 to 40 ms, and all of them are one transaction.
MOST_AT_ONCE = 50


class DeploymentMissingError(Exception):
    """Prefect knows no deployment of this name (yet)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"deployment {name!r} is not registered in Prefect")
        self.name = name


@dataclass(frozen=True)
class Wanted:
    """A run to be created."""

    key: str
    parameters: dict[str, Any]
    tags: list[str]

    def body(self) -> dict[str, Any]:
        """As Prefect wants it."""
        return {"idempotency_key": self.key, "parameters": self.parameters, "tags": self.tags}


class RunCreator:
    """Creates runs; remembers the ids of deployments until Prefect says they are gone."""

    def __init__(self, http: PrefectHttp) -> None:
        self._http = http
        self._ids: dict[str, str] = {}

    async def create(self, deployment: str, key: str, parameters: dict[str, Any], tags: list[str]) -> str:
        """The id of the one run with this key. Raises DeploymentMissingError, PrefectAwayError, PrefectRefusedError."""
        body = Wanted(key, parameters, tags).body()
        try:
            return await self._create(deployment, body)
        except DeploymentMissingError:
            # Perhaps only the remembered id is stale: it is forgotten now, so this asks anew.
            return await self._create(deployment, body)

    async def create_many(self, deployment: str, runs: Sequence[Wanted]) -> list[str | None]:
        """The ids of the runs with these keys, in order; None for one that Prefect does not create, `create` tells
        why. At most MOST_AT_ONCE. Raises as `create` does."""
        id_ = await self.deployment_id(deployment)
        answer = await self._http.post(f"/deployments/{id_}/create_flow_run/bulk", [run.body() for run in runs])
        return [result["flow_run_id"] for result in answer["results"]]

    async def _create(self, deployment: str, body: dict[str, Any]) -> str:
        id_ = await self.deployment_id(deployment)
        try:
            run = await self._http.post(f"/deployments/{id_}/create_flow_run", body)
        except PrefectRefusedError as error:
            if error.status != 404:
                raise
            self._ids.pop(deployment, None)
            raise DeploymentMissingError(deployment) from error
        return str(run["id"])

    async def deployment_id(self, name: str) -> str:
        """The id of the deployment `flow/deployment`; raises DeploymentMissingError, PrefectAwayError."""
        if name not in self._ids:
            flow, _, deployment = name.partition("/")
            try:
                found = await self._http.get(f"/deployments/name/{quote(flow, safe='')}/{quote(deployment, safe='')}")
            except PrefectRefusedError as error:
                if error.status != 404:
                    raise
                raise DeploymentMissingError(name) from error
            self._ids[name] = str(found["id"])
        return self._ids[name]
