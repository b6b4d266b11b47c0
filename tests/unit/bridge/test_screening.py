"""Rules that are excluded without asking CEL are just those whose condition CEL finds false."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import cel
import pytest

from schemas.envelope import Event
from services.bridge.conditions import Condition, ConditionFailedError, Facts
from services.bridge.conjuncts import conjuncts, equality, fields
from services.bridge.rules import Rule, RuleBook, RuleSpec
from services.bridge.screening import Screen

TYPE = "lab.file.arrived.v1"
CONDITIONS = [
    "true",
    "event.data.dataset == 'stocks'",
    "'books' == event.data.dataset",
    'event.data.dataset == "it\'s"',
    "event.data.dataset in ['stocks', \"books\"]",
    "event.data.size > 3 && event.data.dataset == 'stocks'",
    "(event.data.size > 3 && (event.data.dataset == 'stocks' && event.source == '/a'))",
    "event.data.dataset == 'stocks' || event.data.size > 3",
    "event.data.dataset == 'stocks' && event.source == '/a' || event.data.size == 9",
    "event.data.dataset == 'stocks' && (event.data.size > 3 || event.source == '/a')",
    "event.data.dataset == 'stocks' ? event.data.size > 3 : event.data.size < 3",
    "event.subject == 's' && event.data.dataset != 'stocks'",
    "event.data.inner.name == 'x && y' && event.data.dataset.startsWith('b')",
    "event.data.dataset == r'a\\b'",
    "event.data.dataset == 'a\\\\b'",
    "event.data.dataset == 'stocks' // && event.source == 'nobody'\n && event.source == '/a'",
    "event.data.size && event.data.dataset == 'stocks'",
    "[1, 2].exists(n, n == 1 && event.data.dataset == 'books')",
]
DATASETS: list[Any] = ["stocks", "books", "it's", "", "a\\b", 5, None, ["stocks"], {"name": "stocks"}]
EVENTS = [
    Event(id="e", source=source, type=TYPE, time=datetime(2026, 1, 1, tzinfo=UTC), subject=subject, data=data)
    for source, subject in (("/a", None), ("/b", "s"))
    for data in (
        {},
        {"inner": "x && y"},
        *({"dataset": d, "size": s, "inner": {"name": "x && y"}} for d, s in itertools.product(DATASETS, (1, 5, 9))),
    )
]


def screen_of(rules: Sequence[Rule]) -> Screen:
    return Screen([(one, one.gate(one.spec.on[0])) for one in rules])


def rule(where: str, name: str) -> Rule:
    spec = {"name": name, "on": [TYPE], "where": where, "run": {"deployment": "f/d"}}
    return Rule.of(RuleSpec.model_validate(spec), "test")


def answer(source: str, event: Event) -> bool | str:
    try:
        return Condition(source).judge(Facts(event)).holds
    except ConditionFailedError:
        return "fails"


RULES = [rule(where, f"r{number}") for number, where in enumerate(CONDITIONS)]


@pytest.mark.parametrize("number", range(len(RULES)))
def test_what_is_excluded_is_false(number: int) -> None:
    screen = screen_of(RULES)
    excluded = [event for event in EVENTS if RULES[number] not in screen.candidates(event)]
    assert [answer(RULES[number].gate(RULES[number].spec.on[0]).source, event) for event in excluded] == [False] * len(
        excluded
    )


def test_what_needs_no_asking_is_not_asked() -> None:
    plain = [rule(f"event.data.size > 0 && event.data.dataset == 'd{n}'", f"d{n}") for n in range(50)]
    somebody = EVENTS[-1].model_copy(update={"data": {"dataset": "d7", "size": 1}})
    nobody = EVENTS[-1].model_copy(update={"data": {"dataset": "none"}})
    assert [found.name for found in screen_of(plain).candidates(somebody)] == ["d7"]
    assert screen_of(plain).candidates(nobody) == ()
    assert RuleBook(plain).concerned_by(nobody) == ((), None)


def test_candidates_come_in_the_order_of_the_rules() -> None:
    wheres = ["event.data.dataset == 'd'", "true", "event.source == '/b'", "event.data.dataset in ['d', 'e']"]
    event = EVENTS[-1].model_copy(update={"data": {"dataset": "d"}})
    screen = screen_of([rule(where, f"r{n}") for n, where in enumerate(wheres)])
    assert [found.name for found in screen.candidates(event)] == ["r0", "r1", "r2", "r3"]


@pytest.mark.parametrize("source", CONDITIONS)
def test_the_parts_of_a_condition_say_together_what_the_whole_says(source: str) -> None:
    for part in conjuncts(source):
        cel.compile(part)
    for event in EVENTS:
        parts = [answer(part, event) for part in conjuncts(source)]
        whole = answer(source, event)
        assert (whole is True) == all(part is True for part in parts)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("a && b&&c", ["a", "b", "c"]),
        ("(a && b) && (c || d)", ["a", "b", "c || d"]),
        ("(a) && (b)", ["a", "b"]),
        ("a && '&&' == \"||\" && f(b && c)", ["a", "'&&' == \"||\"", "f(b && c)"]),
        ("a && b || c", ["a && b || c"]),
        ("a == '''x' && y'''", ["a == '''x' && y'''"]),
    ],
)
def test_parts_are_found_as_cel_reads_them(source: str, parts: list[str]) -> None:
    assert conjuncts(source) == parts


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("event.data.a == 'event.data.b' && event.source != \"event.x\"", ["event.data.a", "event.source"]),
        ("event.data.table.endsWith('/x') && event.data.names[0] == 'y'", ["event.data.table", "event.data.names"]),
        ("!has(event.subject) && size(event.data.names) > 1", ["event.subject", "event.data.names"]),
        ("true", []),
    ],
)
def test_the_fields_of_a_condition_are_those_outside_of_quotes(source: str, named: list[str]) -> None:
    assert fields(source) == named


@pytest.mark.parametrize(
    "source", ["event.a == 5", "event.a != 'x'", "event.a == b'x'", "event.a == 'x' + 'y'", "event.a == r'\\x'"]
)
def test_what_is_no_plain_comparison_with_texts_screens_nothing(source: str) -> None:
    assert equality(source) is None
