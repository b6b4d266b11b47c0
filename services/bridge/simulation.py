"""What a rule makes of events, without starting or storing anything: each by itself, or in windows. The clock is that
of the events, so that a simulation of last week goes as last week did, had every event come at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from schemas.envelope import Event
from services.bridge.decisions import Decision, decide, decide_run
from services.bridge.rules import Rule
from services.bridge.templates import Occasion
from services.bridge.windows.kinds import pass_time, take
from services.bridge.windows.state import Arrival, State, Step


class Occurrence(NamedTuple):
    """What the rule decided for these events: a run, none for a reason of its windows, or that it fails."""

    events: tuple[Event, ...]
    decision: Decision


@dataclass
class _Windows:
    state: State
    due: datetime | None = None


class Simulation:
    """One rule over events in the order of their coming, each once."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._now = datetime.min.replace(tzinfo=UTC)
        self._windows: dict[str, _Windows] = {}
        self._events: dict[str, Event] = {}

    def take(self, event: Event) -> list[Occurrence]:
        """What comes of this event, and of the time until then."""
        decision = decide(self._rule, event)
        if not self._rule.windowed:
            return [Occurrence((event,), decision)]
        found = self.pass_time(max(self._now, event.time))
        if decision.outcome != "matched":
            return [*found, Occurrence((event,), decision)]
        self._events[event.id] = event
        windows = self._windows.setdefault(decision.key, _Windows(State()))
        arrival = Arrival(event.id, event.time, self._now, decision.conditions)
        return found + self._note(decision.key, windows, take(self._rule.spec.when, windows.state, arrival))

    def pass_time(self, now: datetime) -> list[Occurrence]:
        """What comes of the time alone."""
        found: list[Occurrence] = []
        while ready := [(w.due, key) for key, w in self._windows.items() if w.due is not None and w.due <= now]:
            self._now, key = min(ready)
            windows = self._windows[key]
            found += self._note(key, windows, pass_time(self._rule.spec.when, windows.state, self._now))
        self._now = now
        return found

    def _note(self, key: str, windows: _Windows, step: Step) -> list[Occurrence]:
        windows.state, windows.due = step.state, step.due
        found = []
        for fired in step.fired:
            events = tuple(self._events[id_] for id_ in fired.events)
            decision = decide_run(self._rule, Occasion(events, key, fired.start, fired.end))
            found.append(Occurrence(events, decision))
        for id_, reason in step.suppressed:
            found.append(Occurrence((self._events[id_],), Decision(self._rule, "suppressed", reason, key=key)))
        return found
