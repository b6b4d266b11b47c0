"""Events about the states of Prefect flow runs."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import AwareDatetime, Field

from schemas.envelope import EventData


class _RunState(EventData):
    topic: ClassVar[str] = "lab.runs"

    run_id: str = Field(description="Id of the Prefect flow run")
    run_name: str = Field(description="Name of the run, as Prefect's pages show it")
    flow: str = Field(description="Name of the flow")
    deployment: str | None = Field(default=None, description="flow/deployment; none for a run without one")
    state_id: str = Field(description="Id of the Prefect state; with run_id it identifies this event")
    state_type: str = Field(description="Prefect's state type, such as COMPLETED")
    state_name: str = Field(description="Prefect's state name, such as AwaitingRetry")
    message: str | None = Field(default=None, description="Prefect's message, shortened to 4,000 characters")
    occurred_at: AwareDatetime = Field(description="When the run came into this state")
    start_time: AwareDatetime | None = Field(default=None, description="When the flow's code began; none before")
    end_time: AwareDatetime | None = Field(default=None, description="When the run ended; none before")
    duration_s: float | None = Field(default=None, ge=0, description="Seconds in state Running, in total")
    due_at: AwareDatetime | None = Field(default=None, description="When the flow's code was to begin; none if unknown")
    attempts: int | None = Field(default=None, ge=0, description="Attempts at the flow's code so far, retries included")
    parameters: dict[str, Any] = Field(default_factory=dict, description="What the flow was called with, by name")
    tags: list[str] = Field(default_factory=list, description="Tags of the run in Prefect")

    def subject(self) -> str:
        return self.run_id

    def key(self) -> str:
        return self.deployment or self.flow


class RunScheduled(_RunState):
    """A run waits for its time or for a worker."""

    type: ClassVar[str] = "lab.run.scheduled.v1"


class RunStarted(_RunState):
    """The flow's code runs."""

    type: ClassVar[str] = "lab.run.started.v1"


class RunCompleted(_RunState):
    """The run ended well."""

    type: ClassVar[str] = "lab.run.completed.v1"


class RunFailed(_RunState):
    """The flow raised, after all of its retries."""

    type: ClassVar[str] = "lab.run.failed.v1"


class RunCrashed(_RunState):
    """The run's process or infrastructure went away."""

    type: ClassVar[str] = "lab.run.crashed.v1"


class RunCancelled(_RunState):
    """Somebody cancelled the run."""

    type: ClassVar[str] = "lab.run.cancelled.v1"


class RunLate(_RunState):
    """The run was due and no worker took it."""

    type: ClassVar[str] = "lab.run.late.v1"


class RunOverrun(EventData):
    """The run is still going and has taken longer than its limit allows."""

    type: ClassVar[str] = "lab.run.overrun.v1"
    topic: ClassVar[str] = "lab.runs"

    run_id: str = Field(description="Id of the Prefect flow run")
    run_name: str = Field(description="Name of the run, as Prefect's pages show it")
    flow: str = Field(description="Name of the flow")
    deployment: str | None = Field(default=None, description="flow/deployment; none for a run without one")
    start_time: AwareDatetime = Field(description="When the flow's code began")
    limit_s: float = Field(gt=0, description="Seconds that a run of it may take")
    exceeded_at: AwareDatetime = Field(description="start_time + limit_s")

    def subject(self) -> str:
        return self.run_id

    def key(self) -> str:
        return self.deployment or self.flow
