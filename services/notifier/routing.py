"""Which deliveries an event is due: alerts to the receivers of their routes, any event to subscriptions that want it.

Pure decisions, each with its reason; storing them is the ledger's business, what is to be known for them comes in
`Circumstances` and `Standing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from schemas.alerts import AlertFiring, AlertResolved
from schemas.envelope import Event, event_id
from services.notifier.config import EscalationStep, NotifyConfig
from services.notifier.delivery import MACHINES, Target
from services.notifier.matching import Matchers, matches
from services.notifier.routes import Grouping, Lead
from services.notifier.standing import Standing, Told
from services.notifier.verdicts import Circumstances, Verdict, judge

Alert = AlertFiring | AlertResolved
UNROUTED = "none"
# What a target's key begins with where an alert goes to the address in its label `owner`, beside the routes.
OWNER = "owner:"
OWNED_RULE = "subscription-disabled"
RANKS = {"critical": 0, "error": 1, "warning": 2, "info": 3}


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


@dataclass(frozen=True)
class Routing:
    """The file's routes and the receivers they lead to."""

    config: NotifyConfig
    targets: Mapping[str, Target]

    def plan(self, event: Event, alert: Alert, around: Circumstances, standing: Standing) -> Plan:
        """What the event of the alert leads to; nothing if it is known already."""
        if event.id in standing.events:
            return Plan()
        if isinstance(alert, AlertResolved):
            if standing.episode not in (None, alert.episode):
                return Plan([unrouted(event, f"a later episode fires: {standing.episode}")])
            return Plan(self._resolved(event, standing), over=True)
        if alert.episode in standing.ended:
            return Plan([unrouted(event, "this episode is over already")])
        if standing.episode is not None and standing.told:
            return Plan(_told_already(event, standing))
        return self._firing(event, alert, around)

    def verdicts(self, alert: Alert | Any, around: Circumstances) -> list[Verdict]:
        """What becomes of the firing alert at each receiver."""
        return judge(alert, self.config, self.targets, around)

    def delivery(self, event: Event, target: Target, lead: Lead | None, alert: Alert, **more: Any) -> Planned:
        """The delivery of an alert's event to a receiver: gathered, queued or due at once. `more` are fields of it."""
        key = receiver_key(target.name)
        gathering = _gathering(alert, target, key, lead) if lead else None
        planned = _planned(event, target.channel, target.name, key, gathering=gathering, queued=target.paced)
        return replace(planned, **more)

    def _firing(self, event: Event, alert: AlertFiring, around: Circumstances) -> Plan:
        deliveries, told, steps = [], [], {}
        for verdict in self.verdicts(alert, around):
            lead, target = verdict.lead, self.targets[verdict.receiver]
            one = self.delivery(
                event, target, lead, alert, suppressed=verdict.suppressed, kind="firing", route=lead.path
            )
            deliveries.append(one)
            told.append(told_by(one, verdict, around))
            steps[lead.path] = lead.escalate
        escalations = [(route, number, step) for route, each in steps.items() for number, step in enumerate(each, 1)]
        if not deliveries:
            deliveries = [unrouted(event, "no route matches this alert")]
        return Plan(deliveries, told, escalations)

    def _resolved(self, event: Event, standing: Standing) -> list[Planned]:
        """To exactly those that were told that it fires, whatever the routes are now."""
        planned = []
        for told in standing.told.values():
            target = self.targets.get(told.target)
            one = _planned(
                event,
                told.channel,
                told.target,
                told.target_key,
                kind="resolved",
                route=told.route,
                answers=told.delivery_id if told.heard else None,
                suppressed=None if told.heard else f"was not told that it fires: {told.reason}",
                queued=target is not None and target.paced,
            )
            if told.group_key:
                one = replace(one, gathering=Gathering(told.group_key, {}, timedelta(), timedelta()))
            planned.append(one)
        return planned or [unrouted(event, "nobody was told that it fires")]


def subscribed(event: Event, alert: Alert | None, wishes: Sequence[Wish]) -> list[Planned]:
    """The deliveries of an event that go past the routes: to subscriptions that want it, and to the owner of one that
    was switched off."""
    return [*(_subscribed(event, wish) for wish in wishes if wishes_for(wish, event, alert)), *_to_owner(event, alert)]


def told_by(planned: Planned, verdict: Verdict, around: Circumstances) -> Told:
    """What is remembered of a target that an alert was, or was not, told to; and when to look at it again."""
    hush, repeat = verdict.hush, verdict.lead.repeat
    return Told(
        planned.target_key,
        planned.channel,
        planned.target,
        verdict.lead.path,
        planned.id,
        heard=hush is None,
        group_key=planned.gathering.key if planned.gathering else None,
        reason=hush.reason if hush else None,
        repeat_s=repeat.total_seconds(),
        next_at=hush.look_at if hush else around.now + repeat if repeat else None,
    )


def unrouted(event: Event, reason: str) -> Planned:
    """The row of an alert that is due to nobody."""
    return _planned(event, UNROUTED, UNROUTED, UNROUTED, suppressed=reason)


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


def _told_already(event: Event, standing: Standing) -> list[Planned]:
    reason = f"fires already, as episode {standing.episode} of event {standing.firing_event_id}; told again in its turn"
    return [
        _planned(event, told.channel, told.target, told.target_key, kind="firing", route=told.route, suppressed=reason)
        for told in standing.told.values()
    ]


def _gathering(alert: Alert, target: Target, key: str, lead: Lead) -> Gathering | None:
    """The group of the alert at a receiver; machines get each event by itself."""
    grouping: Grouping | None = lead.grouping
    if grouping is None or target.channel in MACHINES:
        return None
    labels = grouping.labels(alert)
    named = [f"{name}={value}" for name, value in sorted(labels.items())]
    return Gathering(event_id("group", key, lead.path, *named), labels, grouping.wait, grouping.interval)


def _planned(event: Event, channel: str, target: str, key: str, **more: Any) -> Planned:
    return Planned(event_id(event.id, channel, key), channel, target, key, **more)
