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
    rule: str
    severity: Severity
    summary: str
    description: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict, description="Links and details, not identity")
    starts_at: AwareDatetime
    ends_at: AwareDatetime | None = None

    def subject(self) -> str:
        return self.fingerprint


class AlertFiring(_Alert):
    """Something is wrong since `starts_at`."""

    type: ClassVar[str] = "lab.alert.firing.v1"


class AlertResolved(_Alert):
    """It is well again since `ends_at`."""

    type: ClassVar[str] = "lab.alert.resolved.v1"
