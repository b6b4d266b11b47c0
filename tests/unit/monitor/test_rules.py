"""The rule file: the shipped one is valid, and errors name file, rule, field and reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from datalab.runtime.settings import PROJECT_ROOT
from flows.config import DEPLOYMENTS
from services.monitor.rule_file import RuleFileError, read_rules
from services.monitor.rule_tests import read_tests

SHIPPED = read_rules(PROJECT_ROOT / "config" / "alerts.yaml")
GOOD = """
rules:
  - name: data-quality
    on: [lab.quality.failed.v1]
    resolved_by: [lab.quality.passed.v1]
    labels: [dataset]
    severity: error
    summary: "{{ data.dataset }}"
"""


def refusal(tmp_path: Path, content: str) -> str:
    path = tmp_path / "alerts.yaml"
    path.write_text(content)
    with pytest.raises(RuleFileError) as caught:
        read_rules(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_the_shipped_rules_have_the_four_kinds_of_the_guide_with_their_severities() -> None:
    severities = {rule.name: rule.severity for rule in SHIPPED.rules}
    assert {name: severities.get(name) for name in ("flow-failed", "flow-duration", "data-quality")} == {
        "flow-failed": "critical",
        "flow-duration": "warning",
        "data-quality": "error",
    }
    assert severities["resource-unavailable"] == "warning"


def test_every_shipped_runbook_is_a_heading_that_is_there() -> None:
    for rule in SHIPPED.rules:
        page, _, anchor = (rule.runbook or "").partition("#")
        assert f"### {anchor}\n" in (PROJECT_ROOT / page).read_text("utf-8"), rule.name


def test_every_shipped_rule_has_a_runbook_in_both_languages_a_test_and_a_name_on_the_pages() -> None:
    tested = {e.rule for test in read_tests(PROJECT_ROOT / "config/tests/alerts.yaml").tests for e in test.expect}
    portuguese = (PROJECT_ROOT / "docs/operations/alerts.pt-BR.md").read_text("utf-8")
    words = [
        yaml.safe_load((PROJECT_ROOT / f"services/dashboard/words/{lang}.yaml").read_text()) for lang in ("en", "pt")
    ]
    for rule in SHIPPED.rules:
        assert f"### {rule.name}\n" in portuguese, rule.name
        assert rule.name in tested, rule.name
        assert all(f"rule.{rule.name}" in language for language in words), rule.name
    for threshold in SHIPPED.thresholds:
        assert all(f"limit.{threshold.name}" in language for language in words), threshold.name


def test_limits_of_deployments_are_shipped_for_those_that_there_are() -> None:
    known = {deployment.full_name for deployment in DEPLOYMENTS}
    [duration] = [threshold for threshold in SHIPPED.thresholds if threshold.name == "max_duration_s"]
    assert set(duration.overrides) == known


def test_on_is_a_key_and_not_the_boolean_of_old_yaml(tmp_path: Path) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(GOOD)
    assert read_rules(path).rules[0].on == ("lab.quality.failed.v1",)


def test_matching_finds_what_raises_and_what_resolves(tmp_path: Path) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(GOOD)
    rules = read_rules(path)
    assert [len(list(rules.matching(f"lab.quality.{name}.v1"))) for name in ("failed", "passed", "other")] == [1, 1, 0]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("severity: error", "severity: bad", "rules[0] (data-quality).severity: Input should be 'critical', 'error'"),
        (
            "quality.failed.v1",
            "quality.fail.v1",
            "unknown event type 'lab.quality.fail.v1'; known: lab.dataset.updated.v1",
        ),
        ("quality.failed.v1", "alert.firing.v1", "is on lab.alerts, which is not watched"),
        ("[dataset]", "[datset]", "lab.quality.failed.v1 has no field datset; it has dataset, table"),
        ("lab.quality.passed.v1", "lab.quality.failed.v1", "cannot both raise and resolve"),
        ("{{ data.dataset }}", "{{ data.dataset", "template: unexpected end of template"),
        ("{{ data.dataset }}", "{{ dataset }}", "template: unknown name dataset; known: data, event, labels"),
        ("severity: error", "severity: error\n    severty: x", "severty: Extra inputs are not permitted"),
        ("    summary", "    #", "summary: Field required"),
        ("    labels", "    of: lab.runs\n    labels", "of: goes with metric:, which says what is measured of it"),
        ("name: data-quality", "name: Data Quality", "String should match pattern"),
    ],
)
def test_an_error_names_the_rule_the_field_and_the_reason(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in GOOD
    assert reason in refusal(tmp_path, GOOD.replace(old, new))


def test_two_rules_of_one_name_are_refused(tmp_path: Path) -> None:
    assert "data-quality: more than one rule of that name" in refusal(tmp_path, GOOD + GOOD.removeprefix("\nrules:\n"))


@pytest.mark.parametrize("content", ["", "- a", "rules: [", "rules: 5", "rules: [5]"])
def test_what_is_no_rule_file_is_refused(tmp_path: Path, content: str) -> None:
    assert refusal(tmp_path, content)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuleFileError, match="No such file"):
        read_rules(tmp_path / "none.yaml")


LIMITED = (
    GOOD
    + """
thresholds:
  - rule: data-quality
    name: max_failed_ratio
    description: d
    default: 0.1
"""
)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "rule: data-quality",
            "rule: data-qality",
            "data-qality.max_failed_ratio: no such rule; there are data-quality",
        ),
        (
            "max_failed_ratio",
            "max_ratio",
            "thresholds[0] (max_ratio): Value error, name: unknown threshold 'max_ratio'; known:",
        ),
        ("0.1", "1.5", "default: must be >= 0 and < 1"),
        ("0.1", "yes", "thresholds[0] (max_failed_ratio).default: Input should be a valid number"),
        (
            "max_failed_ratio\n    description: d\n    default: 0.1",
            "failures\n    description: d\n    default: 1",
            "speaks about lab.run.crashed.v1, lab.run.failed.v1, not lab.quality.failed.v1",
        ),
        (
            "default: 0.1",
            "default: 0.1\n    overrides: {etl: 0.2}",
            "overrides: data-quality.max_failed_ratio is the same",
        ),
        (
            LIMITED.split("thresholds:\n")[1],
            2 * LIMITED.split("thresholds:\n")[1],
            "data-quality.max_failed_ratio: is there twice",
        ),
        (
            "labels: [dataset]",
            "labels: [dataset]\n    counts_from: start",
            "counts_from: lab.quality.failed.v1 has no time",
        ),
    ],
)
def test_an_error_in_a_threshold_or_a_time_is_named_too(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in LIMITED
    assert reason in refusal(tmp_path, LIMITED.replace(old, new))


def test_silence_and_an_end_that_has_to_last_do_not_go_together(tmp_path: Path) -> None:
    content = """
rules:
  - {name: quiet, on: [lab.service.heartbeat.v1], labels: [service], severity: error, summary: "{{ data.service }}"}
thresholds:
  - {rule: quiet, name: silent_s, description: d, default: 60}
  - {rule: quiet, name: clear_for_s, description: d, default: 5}
"""
    assert "thresholds: quiet: silence is over at once; leave out clear_for_s" in refusal(tmp_path, content)


def test_every_threshold_is_declared_for_what_it_judges() -> None:
    assert {(t.rule, t.name) for t in SHIPPED.thresholds} == {
        ("flow-duration", "max_duration_s"),
        ("flow-duration", "learned_factor"),
        ("flow-failed", "failures"),
        ("data-quality", "max_failed_ratio"),
        ("resource-unavailable", "for_s"),
        ("resource-unavailable", "clear_for_s"),
        ("run-never-started", "late_s"),
        ("consumer-lag", "max_value"),
        ("stale-table", "max_value"),
        ("small-files", "max_value"),
        ("oldest-unread", "max_value"),
        ("dead-letters", "max_value"),
        ("schema-drift", "max_value"),
        ("certificate-expiry", "min_value"),
        ("run-waiting", "max_value"),
        ("schedule-missed", "max_value"),
        ("worker-silent", "max_value"),
        ("heartbeat-missing", "silent_s"),
        ("success-rate-burn", "objective"),
        ("success-rate-burn", "max_value"),
        ("success-rate-burn-slow", "objective"),
        ("success-rate-burn-slow", "max_value"),
        ("model-quality", "max_value"),
        ("volume-anomaly", "max_value"),
    }
