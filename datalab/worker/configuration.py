"""The work pool's form for warm runs, and where a run of a deployment has to start, and whether it can be forked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.settings import get_current_settings
from prefect.workers.base import BaseJobConfiguration, BaseVariables
from pydantic import Field, PrivateAttr

if TYPE_CHECKING:
    from prefect.client.schemas.objects import Flow, FlowRun, WorkPool
    from prefect.client.schemas.responses import DeploymentResponse

_SET_DIRECTORY = "prefect.deployments.steps.set_working_directory"


class _Limits:
    """Field definitions that the pool's form and the job share."""

    STREAM: Any = Field(default=True, description="Copy what a run prints to the worker's log, with the run's name.")
    DIRECTORY: Any = Field(
        default=None, title="Working Directory", description="Where runs start; by default a directory of their own."
    )
    MEMORY: Any = Field(
        default=None,
        gt=0,
        title="Memory limit (MiB)",
        description="Resident memory of a run with its child processes; a run that uses more is killed. "
        "By default three quarters of the machine's.",
    )
    TIME: Any = Field(
        default=None,
        gt=0,
        title="Time limit (seconds)",
        description="A run that takes longer is ended and reported as crashed. By default none.",
    )
    GRACE: Any = Field(
        default=30.0,
        ge=0,
        title="Grace (seconds)",
        description="How long a run that is cancelled or over its time may take to end before it is killed.",
    )


class WarmVariables(BaseVariables):
    """What the pool's form asks for."""

    stream_output: bool = _Limits.STREAM
    working_dir: Path | None = _Limits.DIRECTORY
    memory_limit_mib: int | None = _Limits.MEMORY
    time_limit_s: float | None = _Limits.TIME
    grace_s: float = _Limits.GRACE


class WarmJobConfiguration(BaseJobConfiguration):
    """The form, filled in for one run."""

    stream_output: bool = _Limits.STREAM
    working_dir: Path | None = _Limits.DIRECTORY
    memory_limit_mib: int | None = _Limits.MEMORY
    time_limit_s: float | None = _Limits.TIME
    grace_s: float = _Limits.GRACE

    _deployment: Any = PrivateAttr(default=None)
    _own_command: str | None = PrivateAttr(default=None)

    def prepare_for_flow_run(
        self,
        flow_run: FlowRun,
        deployment: DeploymentResponse | None = None,
        flow: Flow | None = None,
        work_pool: WorkPool | None = None,
        worker_name: str | None = None,
        worker_id: UUID | None = None,
    ) -> None:
        """Prefect's part, and the deployment, which says where the code is."""
        command = self.command  # Prefect writes its own where the form has none
        super().prepare_for_flow_run(flow_run, deployment, flow, work_pool, worker_name, worker_id=worker_id)
        self._deployment = deployment
        self._own_command = command

    def placement(self, parent_environment: Mapping[str, str]) -> Placement:
        """How this run is to be started, by a worker whose zygotes have that environment."""
        environment = {**os.environ, **{name: value for name, value in self.env.items() if value is not None}}
        own = sorted(
            name
            for name, value in environment.items()
            if not name.startswith("PREFECT__") and parent_environment.get(name) != value
        )
        directory, why = flow_directory(self._deployment)
        if directory is not None and own:
            why = f"it has an environment of its own: {', '.join(own)}"
        if self._own_command:
            why = f"it has a command of its own: {self._own_command}"
        entrypoint = self._deployment.entrypoint if directory is not None else None
        return Placement(environment, directory, entrypoint, self._own_command, why)


@dataclass(frozen=True)
class Placement:
    """`directory` and `entrypoint` are None where Prefect has to fetch the code; `cold` says why it is not forked."""

    environment: Mapping[str, str]
    directory: str | None
    entrypoint: str | None
    command: str | None
    cold: str | None


def flow_directory(deployment: DeploymentResponse | None) -> tuple[str | None, str | None]:
    """The directory in which a deployment's code lies on this machine; else None and why that is not known."""
    if deployment is None or not deployment.entrypoint:
        return None, "it belongs to no deployment with an entrypoint"
    steps = deployment.pull_steps or []
    if len(steps) != 1 or set(steps[0]) != {_SET_DIRECTORY}:
        return None, "its code is fetched anew for each run"
    directory = (steps[0][_SET_DIRECTORY] or {}).get("directory")
    if not isinstance(directory, str) or "{" in directory or not Path(directory).is_absolute():
        return None, "its working directory is not an absolute path"
    return str(Path(directory)), None


def zygote_environment() -> dict[str, str]:
    """The environment of every zygote: the worker's, with Prefect's settings as runs get them."""
    return {**os.environ, **get_current_settings().to_environment_variables(exclude_unset=True)}
