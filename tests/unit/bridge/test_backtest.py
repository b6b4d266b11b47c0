"""Rules over past events: what they would have started, and how that differs from now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from schemas.envelope import Event
from services.bridge.backtest import Backtest
from services.bridge.rules import Rule, RuleSpec

ARRIVED = "lab.file.arrived.v1"


def event(id_: str, size: Any, type_: str = ARRIVED) -> Event:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Event(id=id_, source="/test", type=type_, time=at, subject="stocks", data={"size": size})


def rule(where: str, parameters: dict[str, str] | None = None, on: str = ARRIVED) -> Rule:
    run = {"deployment": "f/d", "parameters": parameters or {"size": "{{ event.data.size }}"}}
    return Rule.of(RuleSpec.model_validate({"name": "r", "on": [on], "where": where, "run": run}), "rules.yaml:1")


EVENTS = [event("small", 1), event("middle", 5), event("large", 9), event("text", "x"), event("large", 9)]


def over(tested: Rule, in_force: Rule | None) -> Backtest:
    result = Backtest(tested, in_force)
    for number, seen in enumerate(EVENTS):
        result.look_at(f"lab.files[0]@{number}", seen)
    return result


def test_each_event_counts_once_and_every_difference_is_named() -> None:
    result = over(rule("event.data.size > 3"), rule("event.data.size < 6"))
    assert {f.event.id: f.change for f in result.findings} == {
        "small": "gone",
        "middle": "same",
        "large": "new",
        "text": "fails",
    }
    assert (result.read, result.would_start) == (4, 2)
    assert result.counts() == {"same": 1, "other": 0, "new": 1, "gone": 1, "fails": 1}
    gone = result.to_json()["findings"][0]
    assert gone["tested"]["reason"] == "event.data.size > 3 is false"
    assert gone["in_force"]["parameters"] == {"size": 1}


def test_another_run_for_the_same_event_is_told() -> None:
    same_size = over(rule("event.data.size == 9"), rule("event.data.size == 9", {"size": "{{ event.data.size + 1 }}"}))
    assert [f.change for f in same_size.findings] == ["other"]


def test_without_a_rule_in_force_everything_is_new_and_events_of_other_types_do_not_count() -> None:
    result = over(rule("event.data.size == 9"), None)
    result.look_at("lab.quality[0]@0", event("other", 9, "lab.quality.failed.v1"))
    assert (result.read, [f.change for f in result.findings]) == (4, ["new"])


def test_an_event_that_only_the_rule_in_force_listens_to_is_gone() -> None:
    result = over(rule("true", on="lab.quality.failed.v1"), rule("event.data.size == 9"))
    assert [(f.event.id, f.change) for f in result.findings] == [("large", "gone")]
    assert "is not among" in result.findings[0].tested.reason


def test_windows_are_told_with_their_events_and_compared_as_a_whole() -> None:
    pairs = rule("event.data.size != 'x'", {"sizes": "{{ events | map(attribute='data.size') | list }}"})
    in_pairs, in_threes = (
        Rule.of(
            RuleSpec.model_validate(pairs.spec.model_dump(mode="json") | {"when": {"batch": words}}), "rules.yaml:1"
        )
        for words in ({"count": 2}, {"count": 3})
    )
    result = over(in_pairs, None)
    result.finish(datetime(2026, 1, 2, tzinfo=UTC))
    (finding,) = result.findings
    assert (finding.change, finding.event_ids) == ("new", ("large", "middle"))
    assert finding.tested.parameters == {"sizes": [9, 5]}
    changed = over(in_pairs, in_threes)
    changed.finish(datetime(2026, 1, 2, tzinfo=UTC))
    assert [(found.change, found.event_ids) for found in changed.findings] == [
        ("new", ("large", "middle")),
        ("gone", ("large", "middle", "small")),
    ]
    assert changed.to_json()["findings"][1]["tested"]["reason"] == "no run for these events together"
