"""Which event types exist, on which topic each goes, and how topics are laid out. The one table of routing."""

from __future__ import annotations

import re
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
    services.ServiceHeartbeat,
    metrics.MetricSampled,
    alerts.AlertFiring,
    alerts.AlertResolved,
    notifications.NotificationDelivered,
    notifications.NotificationFailed,
    notifications.NotificationAnnounced,
)

EVENT_TYPES: dict[str, type[EventData]] = {model.type: model for model in _TYPES}

DEAD_LETTERS = "lab.dead-letters"
PREFECT_EVENTS = "lab.prefect-events"
USER_TOPICS = "lab.events."
# No `_`: Kafka takes `a.b` and `a_b` for the same name in its metrics, and refuses the second.
_USER_TYPE = re.compile(r"(?!lab\.)[a-z0-9][a-z0-9-]*(?:\.[a-z0-9][a-z0-9-]*)+")


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


def is_user_type(type_: str) -> bool:
    """Whether users may register this name: words of a-z, 0-9 and `-` between dots, at most 200 characters, not
    below `lab.`. Whether anybody has is known to ingest; who publishes past it must have seen to it."""
    return len(type_) <= 200 and _USER_TYPE.fullmatch(type_) is not None


def topic_for(type_: str) -> str:
    """The topic of an event type, for a user's type one of its own; raises UnknownEventTypeError."""
    return USER_TOPICS + type_ if is_user_type(type_) else model_for(type_).topic


def user_topic(type_: str) -> TopicSpec:
    """How the topic of a user's type is created."""
    about = f"Events of the user's type {type_}"
    return TopicSpec(
        name=topic_for(type_), owner="users", key="subject", description=about, partitions=3, retention_hours=720,
        producers=["ingest"],
    )  # fmt: skip


def parse_data(event: Event) -> EventData:
    """The typed payload; raises UnknownEventTypeError or pydantic's ValidationError."""
    return model_for(event.type).model_validate(event.data)


def key_for(event: Event) -> str:
    """The Kafka key of an event; raises as `parse_data` does. Users' types: the subject, else the source."""
    return (event.subject or event.source) if is_user_type(event.type) else parse_data(event).key()


@cache
def topics() -> tuple[TopicSpec, ...]:
    """Every topic of `topics.yaml`, in its order."""
    entries = yaml.safe_load(Path(__file__).with_name("topics.yaml").read_text("utf-8"))
    return tuple(TopicSpec(name=name, **spec) for name, spec in entries.items())
