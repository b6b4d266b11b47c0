"""Events about models in the MLflow registry."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.envelope import EventData


class _ModelVersion(EventData):
    topic: ClassVar[str] = "lab.models"

    name: str
    version: str
    run_id: str = Field(description="MLflow run that made this version")
    metrics: dict[str, float] = Field(default_factory=dict)
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
