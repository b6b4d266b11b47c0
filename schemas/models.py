"""Events about models in the MLflow registry."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.envelope import EventData


class _ModelVersion(EventData):
    topic: ClassVar[str] = "lab.models"

    name: str = Field(description="Name of the model in the registry")
    version: str = Field(description="Version in the registry, a whole number as text")
    run_id: str = Field(description="MLflow run that made this version")
    metrics: dict[str, float] = Field(
        default_factory=dict, description="What was measured of it, in the unit its name ends with"
    )
    reason: str | None = Field(default=None, description="Why it was promoted or rejected")

    def subject(self) -> str:
        return self.name


class ModelRegistered(_ModelVersion):
    """A new version is in the registry."""

    type: ClassVar[str] = "lab.model.registered.v1"


class ModelPromoted(_ModelVersion):
    """The version is the champion now."""

    type: ClassVar[str] = "lab.model.promoted.v1"


class ModelRejected(_ModelVersion):
    """The version did not beat the champion."""

    type: ClassVar[str] = "lab.model.rejected.v1"


class _Score(EventData):
    topic: ClassVar[str] = "lab.models"

    name: str = Field(description="Name of the model in the registry")
    version: str = Field(description="Version in the registry, a whole number as text")
    dataset: str = Field(description="Name of the dataset that was scored")
    entity: str = Field(description="What was scored, such as a symbol")
    period: str = Field(description="When it was observed, as an ISO date")
    observed: float = Field(description="The value in the data, in the data's own unit")
    predicted: float = Field(description="The value that the model expected, in the same unit")
    score: float = Field(ge=0, description="|observed - predicted| in standard deviations of the model's own errors")
    threshold: float = Field(gt=0, description="From this score on an observation is unusual")
    data_version: int = Field(ge=0, description="Delta version of the table that was scored")
    run_id: str | None = Field(default=None, description="Prefect flow run; none outside Prefect")

    def subject(self) -> str:
        return self.entity

    def key(self) -> str:
        return self.name


class ScoreUnusual(_Score):
    """The newest observation is far from what the champion expected."""

    type: ClassVar[str] = "lab.score.unusual.v1"


class ScoreNormal(_Score):
    """The newest observation is about what the champion expected."""

    type: ClassVar[str] = "lab.score.normal.v1"
