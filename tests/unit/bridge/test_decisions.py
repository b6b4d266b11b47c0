"""What rules say about events: conditions, templates with their types, ids, and reasons."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.envelope import Event
from services.bridge.conditions import Condition, ConditionFailedError, Facts
from services.bridge.decisions import Decision, decide, decide_all, idempotency_key, trigger_id
from services.bridge.rules import Rule, RuleBook, RuleSpec
from services.bridge.templates import Occasion, Template, TemplateFailedError

DATA: dict[str, Any] = {"dataset": "stocks", "size": 5, "ratio": 0.5, "names": ["a", "b"], "code": "0012", "none": None}


def event(type_: str = "lab.file.arrived.v1", **more: Any) -> Event:
    fields = {"id": "e1", "source": "/test", "type": type_, "time": datetime(2026, 1, 1, tzinfo=UTC), "data": DATA}
    return Event.model_validate(fields | more)


def rule(where: str = "true", name: str = "r", on: str = "lab.file.arrived.v1", **run: Any) -> Rule:
    spec = {"name": name, "on": [on], "where": where, "run": {"deployment": "f/d", **run}}
    return Rule.of(RuleSpec.model_validate(spec), "test")


def said(where: str) -> Decision:
    return decide(rule(where), event())


@pytest.mark.parametrize(
    "where",
    [
        "event.data.dataset == 'stocks'",
        "event.data.size > 3 && event.data.ratio < 1.0",
        "event.data.names.exists(n, n == 'b')",
        "!has(event.subject)",
        "event.data.none == null",
        "event.time >= timestamp('2026-01-01T00:00:00Z')",
        "event.type.startsWith('lab.file.') && event.source in ['/test']",
    ],
)
def test_a_condition_sees_the_whole_event(where: str) -> None:
    assert said(where).outcome == "matched"


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("event.data.dataset == 'books'", "event.data.dataset == 'books' is false"),
        ("event.data.nosuch == 'x'", "the event has no 'nosuch'"),
        ("event.data.names[7] == 'x'", "the event has no"),
    ],
)
def test_a_condition_that_does_not_hold_says_why(where: str, reason: str) -> None:
    decision = said(where)
    assert decision.outcome == "condition"
    assert reason in decision.reason


@pytest.mark.parametrize("where", ["event.data.size", "event.data.dataset > 3", "event.data.size / 0 == 1"])
def test_a_condition_that_cannot_be_judged_is_a_failure_and_not_a_no(where: str) -> None:
    assert said(where).outcome == "failed"
    with pytest.raises(ConditionFailedError):
        Condition(where).judge(Facts(event()))


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ event.data.size }}", 5),
        ("{{ event.data.ratio }}", 0.5),
        ("{{ event.data.names }}", ["a", "b"]),
        ("{{ event.data }}", DATA),
        ("{{ event.data.none }}", None),
        ("{{ event.data.size > 3 }}", True),
        ("{{ event.data.code }}", "0012"),
        ("{{ event.data['code'] }}", "0012"),
        ("{{- event.data.size -}}", 5),
        ("{{ -event.data.size }}", -5),
        ("{{-event.data.size}}", 5),
        ("{{ event.time }}", "2026-01-01T00:00:00Z"),
        ("n={{ event.data.size }}", "n=5"),
        ("{{ event.data.size }}{{ event.data.size }}", "55"),
        ("{% if event.data.size > 3 %}big{% else %}small{% endif %}", "big"),
        ("{{ event.data.nosuch | default('d') }}", "d"),
        ("plain", "plain"),
        (7, 7),
        ({"a": ["{{ event.data.size }}", {"b": "{{ event.id }}"}]}, {"a": [5, {"b": "e1"}]}),
    ],
)
def test_a_template_keeps_the_type_of_its_value(template: Any, value: Any) -> None:
    rendered = Template(template).render(Occasion([event()]))
    assert rendered == value
    assert type(rendered) is type(value)


@pytest.mark.parametrize(
    "template",
    [
        "{{ event.data.nosuch }}",
        "x{{ event.data.nosuch }}",
        "{{ [event.data.nosuch] }}",
        "{{ event.data.size / 0 }}",
        "{{ event.__class__.__mro__ }}",
        "{{ event.data.names.append('c') }}",
        "{{ event.model_dump }}",
        "{{ event.model_json_schema() }}",
        "{{ event.parse_raw('x', proto='pickle', allow_pickle=True) }}",
    ],
)
def test_a_template_that_fails_or_reaches_too_far_fails_the_rule(template: str) -> None:
    with pytest.raises(TemplateFailedError):
        Template(template).render(Occasion([event()]))
    decision = decide(rule(parameters={"p": template}), event())
    assert decision.outcome == "failed"
    assert decision.reason.startswith("run: ")
    assert DATA["names"] == ["a", "b"]


@pytest.mark.parametrize(
    "value", ["a\x00b", {"__prefect_kind": "jinja", "template": "{{ 1 }}"}, float("nan"), 2**63, -(2**63) - 1]
)
def test_values_that_prefect_must_not_be_given_are_refused(value: Any) -> None:
    with pytest.raises(TemplateFailedError):
        Template("{{ event.data.x }}").render(Occasion([event(data={"x": [value]})]))


def test_a_backslash_before_u0000_is_no_nul() -> None:
    assert Template("{{ event.data.x }}").render(Occasion([event(data={"x": "\\u0000"})])) == "\\u0000"


def test_ids_follow_from_rule_and_event_alone() -> None:
    assert trigger_id("r", event().id) == trigger_id("r", event(data={}).id)
    assert trigger_id("r", event().id) != trigger_id("q", event().id)
    assert trigger_id("r", event().id) != trigger_id("r", event(id="e2").id)
    key = idempotency_key("r", "f/d", event())
    assert all(part in key for part in ("r", "f/d", "e1"))
    assert len({key, idempotency_key("r", "f/x", event()), idempotency_key("q", "f/d", event())}) == 3


def test_a_very_long_event_id_still_gives_a_key_of_its_own() -> None:
    keys = {idempotency_key("r", "f/d", event(id="e" * 2000 + end)) for end in "ab"}
    assert len(keys) == 2
    assert max(map(len, keys)) < 1000


def test_a_run_is_tagged_with_its_event_chain_and_rule() -> None:
    decision = decide(rule(tags=["own={{ event.data.dataset }}"]), event(correlationid="c1"))
    assert decision.tags == ["datalab.event=e1", "datalab.correlation=c1", "datalab.rule=r", "own=stocks"]


def test_a_rule_does_not_start_from_its_own_runs() -> None:
    own = event("lab.run.completed.v1", data={"tags": ["datalab.rule=r"]})
    assert decide(rule(on="lab.run.completed.v1"), own).outcome == "own-run"
    assert decide(rule(on="lab.run.completed.v1", name="q"), own).outcome == "matched"


def test_only_rules_for_the_type_are_asked() -> None:
    book = RuleBook([rule(name="a"), rule(name="b", on="lab.run.failed.v1")])
    assert [decision.rule.name for decision in decide_all(book, event())] == ["a"]
    assert decide_all(book, event("lab.run.completed.v1")) == []
    assert decide(book.rules[1], event()).outcome == "other-type"


@pytest.mark.parametrize(
    ("others", "outcomes"),
    [
        (["event.data.size > 9"], []),
        (["event.data.size > 9", "event.data.dataset == 'stocks'"], ["condition", "condition", "matched"]),
        (["event.data.nosuch == 1"], ["condition", "condition"]),
        (["event.data.names > 3"], ["condition", "failed"]),
        (["event.data.size"], ["condition", "failed"]),
    ],
)
def test_all_conditions_at_once_exclude_only_what_each_would_exclude(others: list[str], outcomes: list[str]) -> None:
    rules = [rule(where, f"r{n}") for n, where in enumerate(["event.data.size == 0", *others])]
    assert [decision.outcome for decision in decide_all(RuleBook(rules), event())] == outcomes
