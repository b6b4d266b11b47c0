"""The envelope of every event: a typed view of a CloudEvent 1.0 with the lab's trace extensions.

It knows nothing of Kafka or HTTP (see `schemas.codec`) nor of single event types (see `schemas.catalog`).
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

# The namespace of every deterministic id of the lab. Changing it makes every repeat look new.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://dataflow-lab.invalid/events")

# Attributes that an event may have besides those that every event has.
OPTIONAL_ATTRIBUTES = ("subject", "causationid", "correlationid", "traceparent", "dataschema")

Text = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
_TAKEN = frozenset({"specversion", "id", "source", "type", "time", "datacontenttype", "data", *OPTIONAL_ATTRIBUTES})


def _not_taken(name: str) -> str:
    if name in _TAKEN:
        raise ValueError(f"{name} is an attribute of its own")
    return name


ExtensionName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+$", max_length=100), AfterValidator(_not_taken)]
ExtensionValue = Annotated[str, StringConstraints(max_length=2048)]


class Event(BaseModel):
    """One event. `time` is when it happened (UTC); `causationid` names the event that caused it directly,
    `correlationid` the first event of its chain; `traceparent` is the W3C trace context. `extensions` are attributes
    of others, by name, as text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Text
    source: Text
    type: Text
    time: AwareDatetime
    data: dict[str, Any] = Field(default_factory=dict)
    subject: Text | None = None
    causationid: Text | None = None
    correlationid: Text | None = None
    traceparent: Text | None = None
    dataschema: Text | None = None
    extensions: dict[ExtensionName, ExtensionValue] = Field(default_factory=dict, max_length=50)

    @property
    def correlation(self) -> str:
        """The id of the chain this event belongs to; an event without a cause starts its own chain."""
        return self.correlationid or self.id


class EventData(BaseModel, ABC):
    """Base of the typed payloads. A subclass names its CloudEvents type and its Kafka topic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: ClassVar[str]
    topic: ClassVar[str]

    @abstractmethod
    def subject(self) -> str:
        """What the event is about, in the words of its domain (a dataset, a run, a fingerprint)."""

    def key(self) -> str:
        """The Kafka key: events with the same key keep their order."""
        return self.subject()


def event_id(*parts: str) -> str:
    """A deterministic id (UUID version 5) from the parts that identify the cause, in order."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))


def new_event(  # noqa: PLR0913 - the attributes of the standard, all by name
    data: EventData,
    *,
    source: str,
    id: str | None = None,  # noqa: A002 - the CloudEvents attribute's own name
    subject: str | None = None,
    cause: Event | None = None,
    causationid: str | None = None,
    correlationid: str | None = None,
    traceparent: str | None = None,
    time: datetime | None = None,
) -> Event:
    """An event with this payload. With `cause`, the trace attributes follow from it unless given."""
    if cause is not None:
        causationid = causationid or cause.id
        correlationid = correlationid or cause.correlation
        traceparent = traceparent or cause.traceparent
    return Event(
        id=id or str(uuid.uuid4()),
        source=source,
        type=data.type,
        subject=subject or data.subject(),
        time=time or datetime.now(UTC),
        data=data.model_dump(mode="json", exclude_none=True),
        causationid=causationid,
        correlationid=correlationid,
        traceparent=traceparent,
    )
