"""The tests that ship with the rules pass, and such tests fail when a rule does something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from datalab.cli.main import build_app
from datalab.runtime.settings import PROJECT_ROOT
from services.monitor.rule_file import read_rules
from services.monitor.rule_tests import RuleTest, RuleTestFileError, read_tests, seconds_of
from services.monitor.rule_trial import Trial

FILE = PROJECT_ROOT / "config" / "tests" / "alerts.yaml"
RULES = read_rules(PROJECT_ROOT / "config" / "alerts.yaml")
TESTS = read_tests(FILE).tests


@pytest.mark.parametrize("test", TESTS, ids=[test.name for test in TESTS])
async def test_the_shipped_rules_do_what_their_tests_say(test: RuleTest) -> None:
    assert await Trial(RULES, test).run() == []


def test_each_row_of_the_guides_table_has_a_test() -> None:
    tested = {expectation.rule for test in TESTS for expectation in test.expect if expectation.firing}
    assert tested >= {"flow-failed", "flow-duration", "data-quality", "resource-unavailable"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("severity: error", "severity: info", "severity is 'error', not 'info', for {'dataset': 'stocks'}"),
        ("fired: 1, resolved: 1", "fired: 2, resolved: 1", "fired 1 times, not 2"),
        (
            "{at: 3m, rule: data-quality, firing: []",
            "{at: 2m, rule: data-quality, firing: []",
            "fires though it should",
        ),
        ("labels: {dataset: stocks}", "labels: {dataset: sales}", "does not fire: {'dataset': 'sales'}"),
    ],
)
def test_what_is_other_than_expected_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = FILE.read_text("utf-8").replace("../alerts.yaml", str(PROJECT_ROOT / "config" / "alerts.yaml"))
    assert old in text
    path = tmp_path / "alerts.yaml"
    path.write_text(text.replace(old, new), "utf-8")
    answer = CliRunner().invoke(build_app(), ["alerts", "test", str(path)])
    assert answer.exit_code == 1
    assert said in answer.output
    assert "failed" in answer.output.splitlines()[-1]


def test_one_test_as_json() -> None:
    answer = CliRunner().invoke(build_app(), ["alerts", "test", str(FILE), "-k", "flaps", "--json"])
    told = json.loads(answer.output)
    assert (answer.exit_code, told["passed"], list(told["tests"].values())) == (0, True, [[]])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("at: 10s", "at: soon", "'soon' is no length of time"),
        ("type: lab.run.failed.v1", "type: lab.run.fell.v1", "unknown event type 'lab.run.fell.v1'"),
        ("expect:", "expected:", "tests.0.expect: Field required"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(FILE.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(RuleTestFileError, match=said):
        read_tests(path)


def test_lengths_of_time() -> None:
    assert [seconds_of(text).total_seconds() for text in ("90s", "5m", "1h30m", "1d", "0.5s")] == [
        90,
        300,
        5400,
        86400,
        0.5,
    ]
