"""Events about the health of what the lab depends on."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime

from schemas.envelope import EventData


class _ServiceHealth(EventData):
    topic: ClassVar[str] = "lab.services"

    service: str
    check: str
    reason: str
    since: AwareDatetime

    def subject(self) -> str:
        return self.service


class ServiceDegraded(_ServiceHealth):
    """A check of the service fails."""

    type: ClassVar[str] = "lab.service.degraded.v1"


class ServiceRecovered(_ServiceHealth):
    """The check passes again."""

    type: ClassVar[str] = "lab.service.recovered.v1"
