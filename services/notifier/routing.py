"""Which deliveries an event is due: alerts to the receivers of their routes, any event to subscriptions that want it.

Pure decisions, each with its reason; storing them is the ledger's business, what is to be known for them comes in
`Circumstances`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase

from schemas.alerts import AlertFiring, AlertResolved
from schemas.envelope import Event, event_id
from services.notifier.config import Inhibition, NotifyConfig, Route
from services.notifier.delivery import Target
from services.notifier.matching import Judged, Matched, Matchers, matches, mismatch

Alert = AlertFiring | AlertResolved
UNROUTED = "none"
# What a target's key begins with where an alert goes to the address in its label `owner`, beside the routes.
OWNER = "owner:"
OWNED_RULE = "subscription-disabled"


@dataclass(frozen=True)
class Wish:
    """A subscription as far as routing cares. `refused` says why it takes nothing now; with `match` it wants such
    alerts only. `ordering`: `all` events one after the other, those of a `subject`, or `none`."""

    id: str
    name: str
    event_types: tuple[str, ...]
    refused: str | None = None
    match: Matchers | None = None
    ordering: str = "none"


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


@dataclass(frozen=True)
class Source:
    """A firing alert that may inhibit others."""

    fingerprint: str
    rule: str
    severity: str
    labels: Mapping[str, str]
    summary: str = ""


@dataclass(frozen=True)
class Circumstances:
    """What a decision depends on beside the alert and the file: the time, and alerts that fire already."""

    now: datetime
    sources: Sequence[Source] = ()


@dataclass(frozen=True)
class Step:
    """A route that was looked at: whether the alert matches it, and if not, why."""

    path: str
    matched: bool
    reason: str


@dataclass(frozen=True)
class Lead:
    """A route that decides, with what it has from the routes around it."""

    path: str
    receivers: tuple[str, ...]
    mute: tuple[str, ...]
    active: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What a route means for one receiver: told, or not told and why."""

    receiver: str
    route: str
    suppressed: str | None = None


@dataclass(frozen=True)
class Routing:
    """The file's routes and the receivers they lead to."""

    config: NotifyConfig
    targets: Mapping[str, Target]

    def plan(
        self, event: Event, alert: Alert | None, wishes: Sequence[Wish], circumstances: Circumstances | None = None
    ) -> list[Planned]:
        """Every delivery the event is due. Empty when nobody wants it; an alert always has at least one, and needs
        its circumstances."""
        planned = self._receivers(event, alert, circumstances) if alert is not None and circumstances else []
        planned += [_subscribed(event, wish) for wish in wishes if wishes_for(wish, event, alert)]
        planned += _to_owner(event, alert)
        if alert is not None and not planned:
            planned = [_planned(event, UNROUTED, UNROUTED, UNROUTED, suppressed="no route matches this alert")]
        return planned

    def verdicts(self, alert: Judged, circumstances: Circumstances) -> list[Verdict]:
        """What becomes of the firing alert at each receiver that a route leads to, each once, in order."""
        hushed = self._hushed(alert, circumstances)
        found: dict[str, Verdict] = {}
        for lead in decide(alert, self.config.routes)[1]:
            why = hushed or self._out_of_hours(lead, circumstances.now)
            for name in lead.receivers:
                verdict = Verdict(name, lead.path, self.targets[name].unavailable or why)
                if name not in found or (found[name].suppressed and not verdict.suppressed):
                    found[name] = verdict
        return list(found.values())

    def _receivers(self, event: Event, alert: Alert, circumstances: Circumstances) -> list[Planned]:
        if isinstance(alert, AlertResolved):
            return [
                _planned(event, target.channel, name, receiver_key(name), suppressed=target.unavailable)
                for name in receivers_for(alert, self.config.routes)
                if (target := self.targets[name])
            ]
        planned = []
        for verdict in self.verdicts(alert, circumstances):
            target, key = self.targets[verdict.receiver], receiver_key(verdict.receiver)
            planned.append(_planned(event, target.channel, target.name, key, suppressed=verdict.suppressed))
        return planned

    def _hushed(self, alert: Judged, circumstances: Circumstances) -> str | None:
        """Why nobody is told of the alert now, whatever the route."""
        for rule in self.config.inhibit:
            if source := inhibiting(alert, rule, circumstances.sources):
                what = source.summary or source.rule
                return f"inhibited by {rule.name}: {what} ({source.fingerprint}) is firing"
        return None

    def _out_of_hours(self, lead: Lead, now: datetime) -> str | None:
        """Why the route tells nobody at this time."""
        for name in lead.mute:
            if (interval := self.config.interval(name)).holds(now):
                return f"muted: it is {interval.local(now):%H:%M} in {interval.time_zone}, within {name}"
        if lead.active and not any(self.config.interval(name).holds(now) for name in lead.active):
            interval = self.config.interval(lead.active[0])
            return (
                f"muted: it is {interval.local(now):%H:%M} in {interval.time_zone}, outside {' and '.join(lead.active)}"
            )
        return None


def decide(alert: Matched, routes: Sequence[Route]) -> tuple[list[Step], list[Lead]]:
    """The routes that were looked at, in order, and those that decide. Among routes side by side the first that
    matches decides, unless it continues; of a route and those within it, the inner ones that match."""
    steps: list[Step] = []
    leads = list(_walk(alert, routes, None, steps))
    return steps, leads


def _walk(alert: Matched, routes: Sequence[Route], outer: Lead | None, steps: list[Step]) -> Iterator[Lead]:
    for route in routes:
        lead = _inherited(route, outer)
        fault = mismatch(alert, route.match)
        steps.append(Step(lead.path, fault is None, fault or f"matches {route.match}"))
        if fault is not None:
            continue
        inner = list(_walk(alert, route.routes, lead, steps))
        yield from inner or [lead]
        if not route.goes_on:
            break


def _inherited(route: Route, outer: Lead | None) -> Lead:
    if outer is None:
        return Lead(route.name, tuple(route.receivers), tuple(route.mute), tuple(route.active))
    return Lead(
        f"{outer.path}/{route.name}",
        tuple(route.receivers) or outer.receivers,
        tuple(route.mute) or outer.mute,
        tuple(route.active) or outer.active,
    )


def inhibiting(alert: Judged, rule: Inhibition, sources: Sequence[Source]) -> Source | None:
    """The firing alert because of which the rule keeps this one from being told; never the alert itself."""
    if not matches(alert, rule.target):
        return None
    for source in sources:
        same = all(source.labels.get(name, "") == alert.labels.get(name, "") for name in rule.equal)
        if same and source.fingerprint != alert.fingerprint and matches(source, rule.source):
            return source
    return None


def receivers_for(alert: Matched, routes: Sequence[Route]) -> list[str]:
    """The names of the receivers that the routes lead to, each once, in order."""
    return list(dict.fromkeys(name for lead in decide(alert, routes)[1] for name in lead.receivers))


def wants(event_types: Sequence[str], type_: str) -> bool:
    """Whether a subscription to these types or patterns (`lab.run.*`, `*`) wants the type."""
    return any(fnmatchcase(type_, pattern) for pattern in event_types)


def receiver_key(name: str) -> str:
    """What identifies a receiver as a target."""
    return f"receiver:{name}"


def subscription_key(subscription_id: str) -> str:
    """What identifies a subscription as a target; a receiver may have the same name."""
    return f"subscription:{subscription_id}"


def wishes_for(wish: Wish, event: Event, alert: Alert | None) -> bool:
    """Whether the subscription wants this event."""
    if not wants(wish.event_types, event.type):
        return False
    return wish.match is None or (alert is not None and matches(alert, wish.match))


def _to_owner(event: Event, alert: Alert | None) -> list[Planned]:
    """The mail to the owner of a subscription that was switched off, whatever the routes say."""
    owner = alert.labels.get("owner", "") if alert is not None and alert.rule == OWNED_RULE else ""
    return [_planned(event, "email", owner, f"{OWNER}{owner}")] if "@" in owner else []


def _subscribed(event: Event, wish: Wish) -> Planned:
    key = subscription_key(wish.id)
    order = {"all": "*", "subject": event.subject or event.type}.get(wish.ordering)
    planned = _planned(event, "webhook", wish.name, key, subscription_id=wish.id, suppressed=wish.refused)
    return replace(planned, order_key=order)


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
