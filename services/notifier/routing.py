"""Which deliveries an event is due: alerts to the receivers of their routes, any event to subscriptions that want it.

Pure decisions, each with its reason; storing them is the ledger's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from schemas.alerts import AlertFiring, AlertResolved
from schemas.envelope import Event, event_id
from services.notifier.config import Matchers, Route
from services.notifier.delivery import Target

Alert = AlertFiring | AlertResolved
UNROUTED = "none"


@dataclass(frozen=True)
class Wish:
    """A subscription as far as routing cares. `refused` says why it takes nothing now."""

    id: str
    name: str
    event_types: tuple[str, ...]
    refused: str | None = None


@dataclass(frozen=True)
class Planned:
    """A delivery that is due. With `suppressed`, it is recorded with that reason and not sent."""

    id: str
    channel: str
    target: str
    target_key: str
    subscription_id: str | None = None
    suppressed: str | None = None


@dataclass(frozen=True)
class Routing:
    """The routes and the receivers they lead to."""

    routes: Sequence[Route]
    targets: Mapping[str, Target]

    def plan(self, event: Event, alert: Alert | None, wishes: Sequence[Wish]) -> list[Planned]:
        """Every delivery the event is due. Empty when nobody wants it; an alert always has at least one."""
        planned = [] if alert is None else self._receivers(event, alert)
        planned += [_subscribed(event, wish) for wish in wishes if wants(wish.event_types, event.type)]
        if alert is not None and not planned:
            planned = [_planned(event, UNROUTED, UNROUTED, UNROUTED, suppressed="no route matches this alert")]
        return planned

    def _receivers(self, event: Event, alert: Alert) -> list[Planned]:
        planned = []
        for name in receivers_for(alert, self.routes):
            target = self.targets[name]
            planned.append(_planned(event, target.channel, name, f"receiver:{name}", suppressed=target.unavailable))
        return planned


def receivers_for(alert: Alert, routes: Sequence[Route]) -> list[str]:
    """The names of the receivers that the routes lead to, each once, in order."""
    names: dict[str, None] = {}
    for route in routes:
        if matches(alert, route.match):
            names |= dict.fromkeys(route.receivers)
            if not route.goes_on:
                break
    return list(names)


def matches(alert: Alert, match: Matchers) -> bool:
    """Whether every matcher holds."""
    return (
        (not match.severity or alert.severity in match.severity)
        and (not match.rule or _any(alert.rule, match.rule))
        and all(_any(alert.labels.get(name, ""), patterns) for name, patterns in match.labels.items())
    )


def wants(event_types: Sequence[str], type_: str) -> bool:
    """Whether a subscription to these types or patterns (`lab.run.*`, `*`) wants the type."""
    return _any(type_, event_types)


def subscription_key(subscription_id: str) -> str:
    """What identifies a subscription as a target; a receiver may have the same name."""
    return f"subscription:{subscription_id}"


def _subscribed(event: Event, wish: Wish) -> Planned:
    key = subscription_key(wish.id)
    return _planned(event, "webhook", wish.name, key, subscription_id=wish.id, suppressed=wish.refused)


def _planned(
    event: Event,
    channel: str,
    target: str,
    key: str,
    *,
    subscription_id: str | None = None,
    suppressed: str | None = None,
) -> Planned:
    return Planned(event_id(event.id, channel, key), channel, target, key, subscription_id, suppressed)


def _any(text: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)
