"""What is known of an alert before its next event: whether it fires, and who was told. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Told:
    """A target that heard that an alert fires (`heard`), or did not, and why (`reason`)."""

    target_key: str
    channel: str
    target: str
    route: str
    delivery_id: str
    heard: bool
    group_key: str | None = None
    reason: str | None = None
    repeat_s: float = 0.0
    next_at: datetime | None = None


@dataclass
class Standing:
    """One alert, by fingerprint. `episode` fires, those `ended` are over; `events` were stored already."""

    fingerprint: str
    episode: str | None = None
    firing_event_id: str | None = None
    ended: set[str] = field(default_factory=set)
    events: set[str] = field(default_factory=set)
    told: dict[str, Told] = field(default_factory=dict)
