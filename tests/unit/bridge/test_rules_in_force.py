"""Rules whose files change while the bridge runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalab.runtime.clock import SystemClock
from services.bridge.rule_files import RuleFileError
from services.bridge.rules_in_force import RulesInForce


def rule(name: str, on: str = "lab.file.arrived.v1") -> str:
    return f"name: {name}\non: [{on}]\nrun: {{deployment: f/d}}\n"


def in_force(folder: Path) -> RulesInForce:
    return RulesInForce(folder, SystemClock())


def names(rules: RulesInForce) -> list[str]:
    return [rule.name for rule in rules.book.rules]


def test_files_that_are_written_added_and_removed_count_at_the_next_look(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(rule("a"))
    rules = in_force(tmp_path)
    since = rules.since
    assert (rules.refresh(), names(rules)) == (False, ["a"])
    (tmp_path / "b.yaml").write_text(rule("b"))
    assert (rules.refresh(), names(rules)) == (True, ["a", "b"])
    assert rules.since > since
    (tmp_path / "new").write_text(rule("c"))
    (tmp_path / "new").replace(tmp_path / "a.yaml")  # as editors do
    assert (rules.refresh(), names(rules)) == (True, ["c", "b"])
    (tmp_path / "b.yaml").unlink()
    assert (rules.refresh(), names(rules)) == (True, ["c"])


def test_a_faulty_change_leaves_the_rules_in_force_and_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(rule("a"))
    rules = in_force(tmp_path)
    path.write_text(rule("a") + "whre: 'true'\n")
    assert (rules.refresh(), names(rules)) == (False, ["a"])
    assert rules.fault == f"{path}:4: whre: there is no such field; remove it or correct its name"
    assert rules.refresh() is False
    path.write_text(rule("better"))
    assert (rules.refresh(), names(rules), rules.fault) == (True, ["better"], None)


def test_faulty_rules_at_the_start_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: 7")
    with pytest.raises(RuleFileError, match=r"a\.yaml:1"):
        in_force(tmp_path)
