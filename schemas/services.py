"""Events about the health of what the lab depends on."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime, Field

from schemas.envelope import EventData


class _ServiceHealth(EventData):
    topic: ClassVar[str] = "lab.services"

    service: str = Field(description="What depends on being well, such as kafka, prefect or spark")
    check: str = Field(description="Name of the check")
    reason: str = Field(description="What the check found, for people")
    since: AwareDatetime = Field(description="Since when it has been so")

    def subject(self) -> str:
        return self.service


class ServiceDegraded(_ServiceHealth):
    """A check of the service fails."""

    type: ClassVar[str] = "lab.service.degraded.v1"


class ServiceRecovered(_ServiceHealth):
    """The check passes again."""

    type: ClassVar[str] = "lab.service.recovered.v1"


class ServiceHeartbeat(EventData):
    """It is alive and does its work. Who sends it says so again and again; silence is the news."""

    type: ClassVar[str] = "lab.service.heartbeat.v1"
    topic: ClassVar[str] = "lab.services"

    service: str = Field(description="What is alive, such as monitoring for the lab itself, or a job of one's own")
    every_s: float | None = Field(default=None, gt=0, description="Seconds after which the next one is due, if known")

    def subject(self) -> str:
        return self.service
