"""Creating flow runs of named deployments. A repeat with the same key returns the run that is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.bridge.deployments import DeploymentMissingError, Deployments
from services.bridge.prefect_http import PrefectRefusedError

# Prefect takes 100; a run takes it 20 to 40 ms, and all of them are one transaction.
MOST_AT_ONCE = 50


class ParametersRefusedError(Exception):
    """The parameters do not fit the deployment's schema: no run is asked for. The message names the parameter."""


@dataclass(frozen=True)
class Wanted:
    """A run to be created. `options` are further fields of Prefect's request: labels, work_queue_name, name."""

    key: str
    parameters: dict[str, Any]
    tags: list[str]
    options: dict[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """As Prefect wants it."""
        return {**self.options, "idempotency_key": self.key, "parameters": self.parameters, "tags": self.tags}


class Posting(Protocol):
    """Where runs are asked for; see services.bridge.prefect_servers."""

    async def post(self, path: str, body: Any) -> Any:
        """The JSON of the answer; raises PrefectAwayError or PrefectRefusedError."""


class RunCreator:
    """Creates runs whose parameters fit their deployment."""

    def __init__(self, servers: Posting, deployments: Deployments) -> None:
        self._servers, self._deployments = servers, deployments

    async def create(self, deployment: str, wanted: Wanted) -> str:
        """The id of the one run with this key. Raises ParametersRefusedError, DeploymentMissingError,
        PrefectAwayError, PrefectRefusedError."""
        try:
            return await self._create(deployment, wanted)
        except (DeploymentMissingError, ParametersRefusedError):
            # Perhaps only what is remembered is stale: it is forgotten now, so this asks anew.
            self._deployments.forget(deployment)
            return await self._create(deployment, wanted)

    async def create_many(self, deployment: str, runs: Sequence[Wanted]) -> list[str | None]:
        """The ids of the runs with these keys, in order; None for one that Prefect does not create or whose parameters
        do not fit, `create` tells why. At most MOST_AT_ONCE. Raises as `create` does."""
        known = await self._deployments.get(deployment)
        if any(known.schema.fault(run.parameters) for run in runs):
            # Perhaps only what is remembered is stale; a run that fits at its turn would come after later ones.
            self._deployments.forget(deployment)
            known = await self._deployments.get(deployment)
        fitting = [run for run in runs if known.schema.fault(run.parameters) is None]
        if not fitting:
            return [None] * len(runs)
        path = f"/deployments/{known.id}/create_flow_run/bulk"
        answer = await self._servers.post(path, [run.body() for run in fitting])
        ids = {run.key: result["flow_run_id"] for run, result in zip(fitting, answer["results"], strict=True)}
        return [ids.get(run.key) for run in runs]

    async def _create(self, deployment: str, wanted: Wanted) -> str:
        known = await self._deployments.get(deployment)
        if fault := known.schema.fault(wanted.parameters):
            raise ParametersRefusedError(f"{fault} (deployment {deployment})")
        try:
            run = await self._servers.post(f"/deployments/{known.id}/create_flow_run", wanted.body())
        except PrefectRefusedError as error:
            if error.status != 404:
                raise
            self._deployments.forget(deployment)
            raise DeploymentMissingError(deployment) from error
        return str(run["id"])
