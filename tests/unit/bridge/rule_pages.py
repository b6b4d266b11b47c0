"""The rules of docs/rules*.md with the examples beside them, and what the bridge makes of such an example."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import yaml

from datalab.runtime.settings import PROJECT_ROOT
from schemas.envelope import Event
from services.bridge.durations import written
from services.bridge.limits import follow_up, free_places
from services.bridge.parameter_schema import ParameterSchema
from services.bridge.rule_files import load_rule_file
from services.bridge.rules import Rule
from services.bridge.simulation import Simulation

_BLOCKS = re.compile(r"^```yaml (rule|example)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DAY = datetime(2026, 11, 28, tzinfo=UTC)


@dataclass
class Example:
    """A rule as it stands on a page, and what should come of its events; None where the page shows none."""

    rule: str
    outcome: dict[str, Any] | None = None


@dataclass
class Outcome:
    """What comes of the events: runs in the words of the page; the events that wait; reasons of faults by event."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)
    fails: dict[str, str] = field(default_factory=dict)
    suppressed: dict[str, str] = field(default_factory=dict)


def examples(page: str) -> list[Example]:
    found: list[Example] = []
    for kind, text in _BLOCKS.findall((PROJECT_ROOT / "docs" / page).read_text("utf-8")):
        if kind == "rule":
            found.append(Example(text))
        else:
            assert found, "an example stands below its rule"
            assert found[-1].outcome is None, "each rule has one example"
            found[-1].outcome = yaml.safe_load(text)
    return found


def loaded(example: Example, folder: Path) -> Rule:
    """The rule, read as the bridge reads it."""
    file = folder / "rule.yaml"
    file.write_text(example.rule, "utf-8")
    (rule,) = load_rule_file(file).rules
    return rule


def event(given: dict[str, Any]) -> Event:
    at = datetime.combine(_DAY, time.fromisoformat(given.get("at", "10:00:00")), UTC)
    return Event.model_validate({"source": "/example", **{k: v for k, v in given.items() if k != "at"}, "time": at})


def applied(rule: Rule, given: dict[str, Any]) -> Outcome:
    """What the rule makes of the example's events, each taken once, and of the days after them."""
    outcome, active = Outcome(), Counter[str]()
    schema = ParameterSchema(given.get("schema"), {}, enforced=True)
    simulation = Simulation(rule)
    occurrences = []
    for one in {e.id: e for e in map(event, given["events"])}.values():
        occurrences += simulation.take(one)
    occurrences += simulation.pass_time(_DAY + timedelta(days=10))
    for events, decision in occurrences:
        ids = [one.id for one in events]
        fault = decision.reason if decision.outcome == "failed" else schema.fault(decision.parameters)
        if decision.outcome == "suppressed":
            outcome.suppressed[ids[-1]] = decision.reason
        elif fault and decision.concerns:
            outcome.fails[ids[-1]] = fault
        elif decision.outcome == "matched" and not free_places(rule.spec.limits, active[decision.key], 1):
            outcome.waits += ids
        elif decision.outcome == "matched":
            active[decision.key] += 1
            outcome.runs.append({"of": ids, **_run(rule, decision)})
    return outcome


def _run(rule: Rule, decision: Any) -> dict[str, Any]:
    return {
        "deployment": rule.spec.run.deployment,
        "parameters": decision.parameters,
        "tags": decision.tags,
        "options": decision.options,
    }


def followed(rule: Rule, given: dict[str, Any]) -> list[str]:
    """What follows each of the run's ends: a retry after so long, the dead letter, or nothing."""
    found = []
    for retries, state in enumerate(given["ends"]):
        decision = follow_up(rule.spec.on_failure, "run", state, retries)
        found.append(f"retry after {written(decision.delay)}" if decision.kind == "retry" else decision.kind)
    return found
