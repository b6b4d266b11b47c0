"""Events that carry measurements."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.envelope import EventData


class MetricSampled(EventData):
    """One measurement of a subject."""

    type: ClassVar[str] = "lab.metric.sampled.v1"
    topic: ClassVar[str] = "lab.metrics"

    of: str = Field(description="What was measured: a table, a topic, a service")
    name: str
    value: float
    unit: str = Field(description="UCUM-like: s, By, 1, 1/s")
    labels: dict[str, str] = Field(default_factory=dict)

    def subject(self) -> str:
        return self.of
