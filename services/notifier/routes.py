"""The tree of routes: which ones an alert takes, with what each has from those around it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.notifier.config import EscalationStep, Route
from services.notifier.matching import Judged, Matched, mismatch

_GROUP_WAIT, _GROUP_INTERVAL = timedelta(seconds=30), timedelta(minutes=5)
_REPEAT = timedelta(hours=4)


@dataclass(frozen=True)
class Step:
    """A route that was looked at: whether the alert matches it, and if not, why."""

    path: str
    matched: bool
    reason: str


@dataclass(frozen=True)
class Grouping:
    """Alerts with the same values of `by` are told together: the first after `wait`, more after `interval`."""

    by: tuple[str, ...]
    wait: timedelta
    interval: timedelta

    def labels(self, alert: Judged) -> dict[str, str]:
        """What the alert's group is called by."""
        own = {"rule": alert.rule, "severity": alert.severity, "fingerprint": alert.fingerprint}
        return {name: own.get(name, alert.labels.get(name, "")) for name in self.by}


@dataclass(frozen=True)
class Lead:
    """A route that decides, with what it has from the routes around it."""

    path: str
    receivers: tuple[str, ...]
    mute: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    grouping: Grouping | None = None
    repeat: timedelta = _REPEAT
    escalate: tuple[EscalationStep, ...] = ()


def decide(alert: Matched, routes: Sequence[Route]) -> tuple[list[Step], list[Lead]]:
    """The routes that were looked at, in order, and those that decide. Among routes side by side the first that
    matches decides, unless it continues; of a route and those within it, the inner ones that match."""
    steps: list[Step] = []
    leads = list(_walk(alert, routes, None, steps))
    return steps, leads


def receivers_for(alert: Matched, routes: Sequence[Route]) -> list[str]:
    """The names of the receivers that the routes lead to, each once, in order."""
    return list(dict.fromkeys(name for lead in decide(alert, routes)[1] for name in lead.receivers))


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
    around = outer or Lead("", ())
    return Lead(
        f"{around.path}/{route.name}".removeprefix("/"),
        tuple(route.receivers) or around.receivers,
        tuple(route.mute) or around.mute,
        tuple(route.active) or around.active,
        _grouping(route, around.grouping),
        around.repeat if route.repeat_interval is None else route.repeat_interval,
        tuple(route.escalate) or around.escalate,
    )


def _grouping(route: Route, around: Grouping | None) -> Grouping | None:
    if route.group_by is None and around is None:
        return None
    outer = around or Grouping((), _GROUP_WAIT, _GROUP_INTERVAL)
    return Grouping(
        outer.by if route.group_by is None else tuple(route.group_by),
        outer.wait if route.group_wait is None else route.group_wait,
        outer.interval if route.group_interval is None else route.group_interval,
    )
