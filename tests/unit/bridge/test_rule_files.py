"""Rule files: the shipped rules are right, and each mistake is named with file, line and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from flows.config import DEPLOYMENTS
from services.bridge.rule_files import RuleFileError, load_rules

GOOD = """\
name: good
on: [lab.file.arrived.v1, lab.run.failed.v1]
where: event.type == 'lab.file.arrived.v1'
run:
  deployment: my-flow/daily
  parameters:
    path: "{{ event.data.path }}"
"""


def faults(tmp_path: Path, text: str) -> str:
    (tmp_path / "r.yaml").write_text(text, "utf-8")
    with pytest.raises(RuleFileError) as raised:
        load_rules(tmp_path)
    return str(raised.value)


def test_the_shipped_rules_are_right() -> None:
    book = load_rules(PROJECT_ROOT / "config" / "rules")
    assert {"stocks-file-arrived", "gold-updated-training"} <= {rule.name for rule in book.rules}
    assert {"lab.files", "lab.datasets"} <= set(book.topics)
    assert set(book.deployments) <= {deployment.full_name for deployment in DEPLOYMENTS}


def test_the_key_on_is_a_word_and_several_documents_are_several_rules(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(GOOD + "---\n" + GOOD.replace("name: good", "name: other"), "utf-8")
    book = load_rules(tmp_path)
    assert [rule.name for rule in book.rules] == ["good", "other"]
    assert [rule.name for rule in book.listening_to("lab.run.failed.v1")] == ["good", "other"]
    assert book.listening_to("lab.run.completed.v1") == ()
    assert book.topics == ["lab.files", "lab.runs"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: good", "name: Not Good", "r.yaml:1: name: use lower-case letters"),
        ("name: good\n", "", "r.yaml:1: name: is missing; add it"),
        ("lab.run.failed.v1", "lab.run.fialed.v1", "r.yaml:2: on.1: unknown event type 'lab.run.fialed.v1'; known"),
        ("[lab.file.arrived.v1, lab.run.failed.v1]", "[]", "r.yaml:2: on: List should have at least 1 item"),
        ("where: event.type", "where: evnt.type", "r.yaml:3: where: unknown variable evnt"),
        ("where: event.type ==", "where: event.type = ", "r.yaml:3: where: Failed to parse expression"),
        ("where: event.type ==", "where: lower(event.type) ==", "r.yaml:3: where: unknown function lower"),
        ("my-flow/daily", "my-flow", "r.yaml:5: run.deployment: write it as flow/deployment"),
        ("parameters:", "paramters:", "run.paramters: there is no such field; remove it or correct its name"),
        ("event.data.path }}", "event.data.path", "r.yaml:7: run.parameters.path: not a template"),
        ("event.data.path", "evnt.data.path", "run.parameters.path: not a template: unknown variable evnt"),
        ("event.data.path", "event.data.path | nosuch", "run.parameters.path: not a template: No filter named"),
        ("where:", "on:", "r.yaml:3: on: stands twice; remove one"),
        ("on: [", "on: [[", "r.yaml:3: not YAML: "),
    ],
)
def test_each_mistake_names_its_line_and_field(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    assert said in faults(tmp_path, GOOD.replace(old, new))


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("- 1", "utf-8")
    said = faults(tmp_path, GOOD.replace("my-flow/", "").replace("evnt", "event") + "extra: 1\n")
    assert "a.yaml:1: a rule is a map" in said
    assert "r.yaml:5: run.deployment" in said
    assert "r.yaml:8: extra" in said


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD, "utf-8")
    assert "r.yaml:1: name: 'good' is taken by" in faults(tmp_path, GOOD)


def test_a_missing_directory_is_a_fault_and_an_empty_one_is_not(tmp_path: Path) -> None:
    with pytest.raises(RuleFileError, match="there is no such directory; create it"):
        load_rules(tmp_path / "none")
    assert load_rules(tmp_path).topics == []


def test_the_faults_of_all_rules_of_a_file_are_told_by_line(tmp_path: Path) -> None:
    text = GOOD.replace("where:", "when: {batch: {cuont: 2, within: 5}}\nkey: evnt.x\nwhere:")
    text += "---\n" + GOOD.replace("name: good", "name: other").replace("where:", "when: batch\nwhere:")
    assert [line.partition("r.yaml:")[2] for line in faults(tmp_path, text).splitlines()] == [
        "3: when.batch.within: 5 is no span of time; write it as 500ms, 30s, 5m, 2h or 1d",
        "3: when.batch.cuont: there is no such field; remove it or correct its name",
        "4: key: unknown variable evnt; the event is `event`, as in event.data",
        "13: when: batch needs its own keys below it; docs/rules.md shows them",
    ]
