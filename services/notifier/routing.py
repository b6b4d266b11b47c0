"""Which deliveries an alert's event is due to the receivers of its routes.

Pure decisions, each with its reason; storing them is the ledger's business, what is to be known for them comes in
`Circumstances` and `Standing`. Subscriptions, which go past the routes, are `wishes`' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from schemas.alerts import AlertFiring, AlertResolved
from schemas.envelope import Event, event_id
from services.notifier.config import NotifyConfig
from services.notifier.delivery import MACHINES, Target
from services.notifier.planned import Alert, Gathering, Plan, Planned, planned_for, receiver_key, unrouted
from services.notifier.routes import Grouping, Lead
from services.notifier.standing import Standing, Told
from services.notifier.verdicts import Circumstances, Verdict, judge


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
        planned = planned_for(event, target.channel, target.name, key, gathering=gathering, queued=target.paced)
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
            one = planned_for(
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


def _told_already(event: Event, standing: Standing) -> list[Planned]:
    reason = f"fires already, as episode {standing.episode} of event {standing.firing_event_id}; told again in its turn"
    return [
        planned_for(
            event, told.channel, told.target, told.target_key, kind="firing", route=told.route, suppressed=reason
        )
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
