"""Each part of a condition by itself, with the values that it looked at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from schemas.envelope import Event
from services.bridge.explaining import Part, explain
from services.bridge.rules import Rule, RuleSpec

TYPE = "lab.file.arrived.v1"
EVENT = Event(
    id="e1", source="/test", type=TYPE, time=datetime(2026, 1, 1, tzinfo=UTC),
    data={"dataset": "stocks", "size": 2, "tags": ["a"], "inner": {"n": None}},
)  # fmt: skip


def said(where: str, on: str = TYPE) -> tuple[str, list[Part]]:
    spec: dict[str, Any] = {"name": "r", "on": [on], "where": where, "run": {"deployment": "f/d"}}
    decision, parts = explain(Rule.of(RuleSpec.model_validate(spec), "test"), EVENT)
    return decision.outcome, parts


def verdicts(where: str) -> list[tuple[str, str]]:
    return [(part.source, part.verdict) for part in said(where)[1][1:]]


def test_each_part_says_whether_it_held_and_with_which_values() -> None:
    outcome, parts = said("event.data.dataset == 'stocks' && (event.data.size > 3 && event.data.nosuch == 'x')")
    assert outcome == "condition"
    assert [(p.source, p.verdict, p.values, p.absent) for p in parts] == [
        (f"on: {TYPE}", "holds", {"event.type": TYPE}, ()),
        ("event.data.dataset == 'stocks'", "holds", {"event.data.dataset": "stocks"}, ()),
        ("event.data.size > 3", "false", {"event.data.size": 2}, ()),
        ("event.data.nosuch == 'x'", "false", {}, ("event.data.nosuch",)),
    ]
    assert parts[3].reason == "the event has no 'nosuch'"


def test_what_cannot_be_judged_says_why() -> None:
    outcome, parts = said("event.data.dataset > 3 && event.data.size == 2")
    assert outcome == "failed"
    assert [part.verdict for part in parts] == ["holds", "fails", "holds"]
    assert "TypeError" in parts[1].reason


def test_alternatives_are_one_part_with_all_their_fields() -> None:
    _, (_, part) = said("event.data.size > 3 || event.time < timestamp('2027-01-01T00:00:00Z')")
    assert part.verdict == "holds"
    assert part.values == {"event.data.size": 2, "event.time": "2026-01-01T00:00:00Z"}


def test_a_null_is_a_value_and_an_attribute_that_is_missing_is_absent() -> None:
    _, (_, first, second) = said("event.data.inner.n == null && !has(event.subject)")
    assert (first.values, second.absent) == ({"event.data.inner.n": None}, ("event.subject",))
    assert [first.verdict, second.verdict] == ["holds", "holds"]


def test_a_rule_for_another_type_is_not_asked() -> None:
    outcome, parts = said("event.data.size > 'x'", on="lab.run.failed.v1")
    assert outcome == "other-type"
    assert [part.verdict for part in parts] == ["false", "unasked"]


def test_a_rule_without_a_condition_has_no_parts_of_one() -> None:
    assert verdicts("true") == []
