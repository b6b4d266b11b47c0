"""Deployments by name: their ids and the parameters they take, remembered for a while."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from datalab.runtime.clock import Clock
from services.bridge.parameter_schema import ParameterSchema
from services.bridge.prefect_http import PrefectHttp, PrefectRefusedError

# Who finds that something does not fit forgets the deployment first; this is for changes that nobody runs into.
_REMEMBERED_S = 30.0


class DeploymentMissingError(Exception):
    """Prefect knows no deployment of this name (yet)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"deployment {name!r} is not registered in Prefect")
        self.name = name


@dataclass(frozen=True)
class Deployment:
    """What is remembered of a deployment, and since when (monotonic seconds)."""

    id: str
    schema: ParameterSchema
    read_at: float


class Deployments:
    """Reads deployments from Prefect."""

    def __init__(self, http: PrefectHttp, clock: Clock) -> None:
        self._http, self._clock = http, clock
        self._known: dict[str, Deployment] = {}

    async def get(self, name: str) -> Deployment:
        """The deployment `flow/deployment`; raises DeploymentMissingError, PrefectAwayError."""
        known = self._known.get(name)
        if known is None or self._clock.monotonic() - known.read_at > _REMEMBERED_S:
            known = self._known[name] = await self._read(name)
        return known

    def forget(self, name: str) -> None:
        """What is remembered may be stale: ask anew the next time."""
        self._known.pop(name, None)

    async def _read(self, name: str) -> Deployment:
        flow, _, deployment = name.partition("/")
        try:
            found = await self._http.get(f"/deployments/name/{quote(flow, safe='')}/{quote(deployment, safe='')}")
        except PrefectRefusedError as error:
            if error.status != 404:
                raise
            self.forget(name)
            raise DeploymentMissingError(name) from error
        schema = ParameterSchema(
            found.get("parameter_openapi_schema"),
            found.get("parameters") or {},
            enforced=bool(found.get("enforce_parameter_schema")),
        )
        return Deployment(str(found["id"]), schema, self._clock.monotonic())
