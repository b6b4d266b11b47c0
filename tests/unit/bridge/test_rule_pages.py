"""docs/rules.md: every rule on it does what stands beside it, every key is explained, and both languages agree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from datalab.runtime.settings import PROJECT_ROOT
from services.bridge.rules import RuleSpec
from tests.unit.bridge.rule_pages import Example, applied, examples, followed, loaded

PAGES = ("rules.md", "rules.pt-BR.md")
_RAN = [example for example in examples("rules.md") if example.outcome is not None]


def _named(example: Example) -> str:
    return example.rule.partition("\n")[0].removeprefix("name: ")


@pytest.mark.parametrize("example", _RAN, ids=_named)
def test_a_rule_of_the_page_does_what_stands_beside_it(example: Example, tmp_path: Path) -> None:
    assert example.outcome is not None
    outcome = applied(loaded(example, tmp_path), example.outcome)
    expected = example.outcome["runs"]
    assert [{key: run[key] for key in told} for run, told in zip(outcome.runs, expected, strict=True)] == expected
    assert outcome.waits == example.outcome.get("waits", [])
    for found, told in ((outcome.fails, "fails"), (outcome.suppressed, "suppressed")):
        reasons: dict[str, str] = example.outcome.get(told, {})
        assert found.keys() == reasons.keys()
        for id_, part in reasons.items():
            assert part in found[id_]


@pytest.mark.parametrize("example", [e for e in _RAN if e.outcome and "ends" in e.outcome], ids=_named)
def test_what_follows_failed_runs_is_what_the_page_says(example: Example, tmp_path: Path) -> None:
    assert example.outcome is not None
    rule = loaded(example, tmp_path)
    assert followed(rule, example.outcome) == example.outcome["follows"]
    cap = rule.spec.on_failure.pause_after
    assert {dead: cap.exceeded(dead) for dead in example.outcome["pauses"]} == example.outcome["pauses"]


def test_every_rule_of_the_page_has_its_example() -> None:
    assert len(_RAN) == len(examples("rules.md")) > 0


@pytest.mark.parametrize("page", PAGES)
def test_every_key_is_explained(page: str) -> None:
    text = (PROJECT_ROOT / "docs" / page).read_text("utf-8")
    explained = set(re.findall(r"`([a-z_.]+)`", text))
    assert sorted(set(_keys(RuleSpec)) - explained) == []


def test_the_portuguese_page_shows_rules_of_the_english_one() -> None:
    english = {example.rule for example in examples("rules.md")}
    portuguese = [example.rule for example in examples("rules.pt-BR.md")]
    assert portuguese
    assert set(portuguese) <= english


def _keys(model: type[BaseModel], path: str = "") -> list[str]:
    found = []
    for name, about in model.model_fields.items():
        found.append(path + name)
        for inner in _inner(about.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found += _keys(inner, f"{path}{name}.")
    return found


def _inner(annotation: object) -> list[object]:
    """The annotation with all that stands in its brackets."""
    return [annotation, *(inner for argument in get_args(annotation) for inner in _inner(argument))]
