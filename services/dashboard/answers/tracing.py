"""Of the bridge and the notifier: what became of an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel

from datalab.trace.tree import TraceNode
from schemas.envelope import Event


class RunState(BaseModel):
    """A state that a run was in."""

    state_name: str
    occurred_at: datetime


class Trigger(BaseModel):
    """What a rule made of an event; `states` only in a trace."""

    id: str
    rule: str
    event_id: str
    event_type: str
    correlation_id: str
    deployment: str
    status: str
    reason: str | None
    flow_run_id: str | None
    run_state: str | None
    run_url: str | None
    created_at: datetime
    states: list[RunState] = []


class Triggers(BaseModel):
    """A page of triggers, or those of a trace."""

    triggers: list[Trigger]


class Delivery(BaseModel):
    """What became of a message."""

    id: str
    event_id: str
    channel: str
    target: str
    status: str
    reason: str | None
    attempts: int
    status_code: int | None
    created_at: datetime
    finished_at: datetime | None


class Deliveries(BaseModel):
    """A page of deliveries."""

    deliveries: list[Delivery]
    next_page_token: str | None = None


@dataclass(frozen=True)
class Chain:
    """What is known of a chain of events, as a tree and by id. Without roots nothing knows the event."""

    asked: str
    correlation: str
    roots: list[TraceNode]
    events: Mapping[str, Event]
    triggers: Mapping[str, Trigger]
    deliveries: Mapping[str, Delivery]
