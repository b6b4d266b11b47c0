"""Why a rule says what it says about an event: each part of its condition by itself, with the values it looked at.

Pure. What is decided is `decisions`; this only takes it apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import to_jsonable_python

from schemas.envelope import Event
from services.bridge.conditions import Condition, ConditionFailedError, Facts
from services.bridge.conjuncts import conjuncts, fields
from services.bridge.decisions import Decision, decide
from services.bridge.rules import Rule

# `unasked`: the event is of another type, so the condition is not asked.
Verdict = Literal["holds", "false", "fails", "unasked"]


@dataclass(frozen=True)
class Part:
    """A part of a condition. `values` are the event's, by field; `absent` are fields that it has not."""

    source: str
    verdict: Verdict
    reason: str
    values: dict[str, Any]
    absent: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "part": self.source,
            "verdict": self.verdict,
            "reason": self.reason,
            "values": self.values,
            "absent": list(self.absent),
        }


def explain(rule: Rule, event: Event) -> tuple[Decision, list[Part]]:
    """What the rule says about the event, and how each part of `on` and `where` came out, in order; of a rule with
    several conditions those of each, one after the other."""
    decision = decide(rule, event)
    parts: list[Part] = []
    for role in rule.roles:
        fits = event.type in role.types
        types = [type_ for type_ in rule.spec.on if type_ in role.types] or sorted(role.types)
        name = "on" if len(rule.roles) == 1 else f"on ({role.field.removesuffix('.where')})"
        shown = Part(f"{name}: {', '.join(types)}", "holds" if fits else "false", "", {"event.type": event.type}, ())
        parts.append(shown)
        if role.condition.source != "true":
            facts = Facts(event) if fits else None
            parts += [_part(source, event, facts) for source in conjuncts(role.condition.source)]
    return decision, parts


def _part(source: str, event: Event, facts: Facts | None) -> Part:
    values: dict[str, Any] = {}
    absent = []
    for field in fields(source):
        try:
            values[field] = _value(event, field)
        except KeyError:
            absent.append(field)
    if facts is None:
        return Part(source, "unasked", "", values, tuple(absent))
    verdict, reason = _asked(source, facts)
    return Part(source, verdict, reason, values, tuple(absent))


def _asked(source: str, facts: Facts) -> tuple[Verdict, str]:
    try:
        verdict = Condition(source).judge(facts)
    except ConditionFailedError as error:
        return "fails", str(error)
    if verdict.holds:
        return "holds", ""
    # That it is false is said by the mark; a field that is not there is worth words.
    return "false", "" if verdict.reason.endswith(" is false") else verdict.reason


def _value(event: Event, field: str) -> Any:
    """The value at event.a.b; raises KeyError where there is none, as conditions see it."""
    names = field.split(".")[1:]
    value: Any = {name: value for name, value in event.__dict__.items() if value is not None}
    for name in names:
        if not isinstance(value, dict):
            raise KeyError(field)
        value = value[name]
    return to_jsonable_python(value)
