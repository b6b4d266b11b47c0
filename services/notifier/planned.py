"""Deliveries as they are planned, before they are rows: values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from schemas.alerts import AlertFiring, AlertResolved
from schemas.envelope import Event, event_id
from services.notifier.config import EscalationStep
from services.notifier.standing import Told

Alert = AlertFiring | AlertResolved
UNROUTED = "none"
RANKS = {"critical": 0, "error": 1, "warning": 2, "info": 3}


@dataclass(frozen=True)
class Gathering:
    """The group that a delivery waits in."""

    key: str
    labels: Mapping[str, str]
    wait: timedelta
    interval: timedelta


@dataclass(frozen=True)
class Planned:
    """A delivery that is due. With `suppressed`, it is recorded with that reason and not sent."""

    id: str
    channel: str
    target: str
    target_key: str
    subscription_id: str | None = None
    suppressed: str | None = None
    order_key: str | None = None  # those with the same key wait for each other; an alert has its fingerprint anyway
    kind: str = "event"
    route: str | None = None
    answers: str | None = None
    gathering: Gathering | None = None
    queued: bool = False
    notice: Mapping[str, Any] | None = None

    @property
    def held(self) -> str | None:
        """Where it waits before it is due."""
        if self.suppressed:
            return None
        return "group" if self.gathering else "queue" if self.queued else None


@dataclass(frozen=True)
class Plan:
    """What an alert's event leads to: deliveries, who counts as told from now on, steps to take unless acknowledged.
    With `over`, nobody counts as told any more."""

    deliveries: Sequence[Planned] = ()
    told: Sequence[Told] = ()
    escalations: Sequence[tuple[str, int, EscalationStep]] = field(default=())
    over: bool = False


def planned_for(event: Event, channel: str, target: str, key: str, **more: Any) -> Planned:
    """The delivery of an event to a target; `more` are fields of it."""
    return Planned(event_id(event.id, channel, key), channel, target, key, **more)


def unrouted(event: Event, reason: str) -> Planned:
    """The row of an alert that is due to nobody."""
    return planned_for(event, UNROUTED, UNROUTED, UNROUTED, suppressed=reason)


def receiver_key(name: str) -> str:
    """What identifies a receiver as a target."""
    return f"receiver:{name}"


def subscription_key(subscription_id: str) -> str:
    """What identifies a subscription as a target; a receiver may have the same name."""
    return f"subscription:{subscription_id}"
