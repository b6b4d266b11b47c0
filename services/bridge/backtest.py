"""What a rule would have made of past events, and how that differs from the rule in force. Pure: it starts nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.envelope import Event
from services.bridge.decisions import Decision, decide
from services.bridge.rules import Rule

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

    def to_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "event_id": self.event.id,
            "event_type": self.event.type,
            "subject": self.event.subject,
            "time": self.event.time.isoformat(),
            "record": self.place,
            "change": self.change,
            "tested": _decision(self.tested),
            "in_force": None if self.in_force is None else _decision(self.in_force),
        }


@dataclass
class Backtest:
    """One rule over a history. `read` counts the events of its types, an event that is there twice once."""

    rule: Rule
    in_force: Rule | None
    read: int = 0
    findings: list[Finding] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def look_at(self, place: str, event: Event) -> None:
        """Take the next event into account. The bridge would start one run for a repeated one, so it counts once."""
        types = {*self.rule.spec.on, *(self.in_force.spec.on if self.in_force else ())}
        if event.type not in types or event.id in self._seen:
            return
        self._seen.add(event.id)
        self.read += 1
        tested = decide(self.rule, event)
        in_force = None if self.in_force is None else decide(self.in_force, event)
        if change := _change(tested, in_force):
            self.findings.append(Finding(place, event, change, tested, in_force))

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
