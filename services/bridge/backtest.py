"""What a rule would have made of past events, and how that differs from the rule in force. Pure: it starts nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from schemas.envelope import Event
from services.bridge.decisions import Decision
from services.bridge.rules import Rule
from services.bridge.simulation import Occurrence, Simulation

# Against the rule in force: it starts the same run, another one, or none; or the new rule fails on the event.
Change = Literal["same", "other", "new", "gone", "fails"]
CHANGES: tuple[Change, ...] = ("same", "other", "new", "gone", "fails")


@dataclass(frozen=True)
class Finding:
    """An event that either rule would act on. `in_force` is None where no rule of that name is in force."""

    place: str
    event: Event
    change: Change
    tested: Decision
    in_force: Decision | None
    # Of a window all of them, the last one being `event`.
    event_ids: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "event_id": self.event.id,
            "event_ids": list(self.event_ids),
            "event_type": self.event.type,
            "subject": self.event.subject,
            "time": self.event.time.isoformat(),
            "record": self.place,
            "change": self.change,
            "tested": _decision(self.tested),
            "in_force": None if self.in_force is None else _decision(self.in_force),
        }


@dataclass
class _Said:
    """What either rule made of the same events."""

    events: tuple[Event, ...]
    tested: Decision | None = None
    in_force: Decision | None = None


class Backtest:
    """One rule over a history. `read` counts the events of its types, an event that is there twice once. Rules with
    windows are given their events in the order of their times, by `finish`."""

    def __init__(self, rule: Rule, in_force: Rule | None) -> None:
        self.rule, self.in_force = rule, in_force
        self.read = 0
        self._tested = Simulation(rule)
        self._other = None if in_force is None else Simulation(in_force)
        self._types = rule.types | (in_force.types if in_force is not None else frozenset())
        self._windowed = rule.windowed or (in_force is not None and in_force.windowed)
        self._places: dict[str, str] = {}
        self._kept: list[Event] = []
        self._said: dict[tuple[str, ...], _Said] = {}

    def look_at(self, place: str, event: Event) -> None:
        """Take the next event into account. The bridge would start one run for a repeated one, so it counts once."""
        if event.type not in self._types or event.id in self._places:
            return
        self._places[event.id] = place
        self.read += 1
        if self._windowed:
            self._kept.append(event)
        else:
            self._take(event)

    def finish(self, now: datetime) -> None:
        """There are no more events; windows that are over by now close."""
        for event in sorted(self._kept, key=lambda event: (event.time, event.id)):
            self._take(event)
        self._kept.clear()
        self._note(self._tested.pass_time(now), self._other.pass_time(now) if self._other else [])

    def _take(self, event: Event) -> None:
        self._note(self._tested.take(event), self._other.take(event) if self._other else [])

    def _note(self, tested: Sequence[Occurrence], in_force: Sequence[Occurrence]) -> None:
        for events, decision in tested:
            self._of(events).tested = decision
        for events, decision in in_force:
            self._of(events).in_force = decision

    def _of(self, events: tuple[Event, ...]) -> _Said:
        return self._said.setdefault(tuple(event.id for event in events), _Said(events))

    @property
    def findings(self) -> list[Finding]:
        """The events that either rule acts on, in the order in which it does."""
        found = []
        for said in self._said.values():
            tested = said.tested or Decision(self.rule, "suppressed", "no run for these events together")
            if change := _change(tested, said.in_force):
                last = said.events[-1]
                ids = tuple(event.id for event in said.events)
                found.append(Finding(self._places[last.id], last, change, tested, said.in_force, ids))
        return found

    def counts(self) -> dict[Change, int]:
        """How many findings there are of each kind."""
        counted = Counter(finding.change for finding in self.findings)
        return {change: counted[change] for change in CHANGES}

    @property
    def would_start(self) -> int:
        """The runs that the tested rule would have started."""
        return sum(finding.tested.outcome == "matched" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "rule": self.rule.name,
            "in_force": None if self.in_force is None else self.in_force.origin,
            "events": self.read,
            "would_start": self.would_start,
            "changes": self.counts(),
            "findings": [finding.to_json() for finding in self.findings],
        }


def _change(tested: Decision, in_force: Decision | None) -> Change | None:
    if tested.outcome == "failed":
        return "fails"
    started = in_force is not None and in_force.outcome == "matched"
    if tested.outcome != "matched":
        return "gone" if started else None
    if in_force is None or not started:
        return "new"
    same = _run_of(tested) == _run_of(in_force)
    return "same" if same else "other"


def _run_of(decision: Decision) -> tuple[object, ...]:
    return decision.rule.spec.run.deployment, decision.parameters, decision.tags, decision.options


def _decision(decision: Decision) -> dict[str, Any]:
    run = decision.rule.spec.run.deployment if decision.outcome == "matched" else None
    return {
        "outcome": decision.outcome,
        "reason": decision.reason,
        "deployment": run,
        "parameters": decision.parameters,
        "tags": decision.tags,
        "options": decision.options,
    }
