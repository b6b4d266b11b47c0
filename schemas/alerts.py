"""Events about alerts: one firing and one resolved per episode."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from schemas.envelope import EventData

Severity = Literal["critical", "error", "warning", "info"]


class _Alert(EventData):
    topic: ClassVar[str] = "lab.alerts"

    fingerprint: str = Field(description="Identifies what is wrong: hash of the rule and its labels")
    episode: str = Field(description="Identifies this time it went wrong: fingerprint and start")
    rule: str = Field(description="Name of the rule that found it, as in config/alerts.yaml")
    severity: Severity = Field(description="How bad it is; the routes of notifications go by it")
    summary: str = Field(description="One line for people: what is wrong with what")
    description: str = Field(default="", description="More for people: why, and what to do about it")
    labels: dict[str, str] = Field(default_factory=dict, description="What identifies it, such as dataset or flow")
    annotations: dict[str, str] = Field(default_factory=dict, description="Links and details, not identity")
    starts_at: AwareDatetime = Field(description="Since when it is wrong")
    ends_at: AwareDatetime | None = Field(default=None, description="Since when it is well again; none while it is not")

    def subject(self) -> str:
        return self.fingerprint


class AlertFiring(_Alert):
    """Something is wrong since `starts_at`."""

    type: ClassVar[str] = "lab.alert.firing.v1"


class AlertResolved(_Alert):
    """It is well again since `ends_at`."""

    type: ClassVar[str] = "lab.alert.resolved.v1"
