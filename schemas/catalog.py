"""Which event types exist, on which topic each goes, and how topics are laid out. The one table of routing."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from schemas import alerts, datasets, files, metrics, models, notifications, quality, runs, services
from schemas.envelope import Event, EventData

_TYPES: tuple[type[EventData], ...] = (
    files.FileArrived,
    quality.QualityPassed,
    quality.QualityFailed,
    runs.RunScheduled,
    runs.RunStarted,
    runs.RunCompleted,
    runs.RunFailed,
    runs.RunCrashed,
    runs.RunCancelled,
    runs.RunLate,
    runs.RunOverrun,
    datasets.DatasetUpdated,
    models.ModelRegistered,
    models.ModelPromoted,
    models.ModelRejected,
    models.ScoreUnusual,
    models.ScoreNormal,
    services.ServiceDegraded,
    services.ServiceRecovered,
    metrics.MetricSampled,
    alerts.AlertFiring,
    alerts.AlertResolved,
    notifications.NotificationDelivered,
    notifications.NotificationFailed,
)

EVENT_TYPES: dict[str, type[EventData]] = {model.type: model for model in _TYPES}

DEAD_LETTERS = "lab.dead-letters"


class UnknownEventTypeError(LookupError):
    """The type is not in the catalogue. The message lists the known ones."""

    def __init__(self, type_: str) -> None:
        super().__init__(f"unknown event type {type_!r}; known types: {', '.join(sorted(EVENT_TYPES))}")


class TopicSpec(BaseModel):
    """How a topic is created. `retention_hours` of -1 keeps records for ever."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    owner: str
    key: str
    description: str
    partitions: int = Field(gt=0)
    retention_hours: int = Field(ge=-1)
    cleanup: Literal["delete", "compact"] = "delete"
    producers: list[str] = Field(default_factory=list)
    consumers: list[str] = Field(default_factory=list)


def model_for(type_: str) -> type[EventData]:
    """The payload model of an event type; raises UnknownEventTypeError."""
    try:
        return EVENT_TYPES[type_]
    except KeyError:
        raise UnknownEventTypeError(type_) from None


def topic_for(type_: str) -> str:
    """The topic of an event type; raises UnknownEventTypeError."""
    return model_for(type_).topic


def parse_data(event: Event) -> EventData:
    """The typed payload; raises UnknownEventTypeError or pydantic's ValidationError."""
    return model_for(event.type).model_validate(event.data)


def key_for(event: Event) -> str:
    """The Kafka key of an event; raises as `parse_data` does."""
    return parse_data(event).key()


@cache
def topics() -> tuple[TopicSpec, ...]:
    """Every topic of `topics.yaml`, in its order."""
    entries = yaml.safe_load(Path(__file__).with_name("topics.yaml").read_text("utf-8"))
    return tuple(TopicSpec(name=name, **spec) for name, spec in entries.items())
