"""The words of alerts: what the shipped rules say, and that no template loses an alert."""

from __future__ import annotations

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from schemas.envelope import Event, new_event
from schemas.runs import RunFailed
from schemas.services import ServiceDegraded
from services.monitor.identity import labels_of
from services.monitor.rule_file import read_rules
from services.monitor.rules import AlertRule
from services.monitor.wording import Pages, Wording, check_template, word
from tests.support.monitor_events import quality_failed, run_event

UI = "http://127.0.0.1:4200"
SHIPPED = {rule.name: rule for rule in read_rules(PROJECT_ROOT / "config" / "alerts.yaml").rules}


def worded(rule: AlertRule, event: Event) -> Wording:
    return word(rule, event, labels_of(rule, event), pages=Pages(UI, "http://127.0.0.1:8501"))


def rule_saying(summary: str, description: str = "") -> AlertRule:
    return AlertRule(
        name="r",
        on=("lab.quality.failed.v1",),
        labels=("dataset",),
        severity="error",
        summary=summary,
        description=description,
    )


def test_a_quality_alert_names_the_broken_rules_with_their_counts() -> None:
    event = quality_failed("stocks")
    said = worded(SHIPPED["data-quality"], event)
    assert said.summary == "Quality of stocks: 3 of 10 rows break price_positive"
    assert "- price_positive (quarantine): 3 rows, must hold: close > 0" in said.description
    assert "date_present" not in said.description
    assert said.annotations["rules"] == "price_positive=3"


def test_a_failed_flow_names_the_run_its_message_and_its_page() -> None:
    event = run_event(RunFailed, run="0c9", message="ValueError: no rows", duration_s=12.345)
    said = worded(SHIPPED["flow-failed"], event)
    assert said.summary == "Flow etl/daily failed: run brave-0c9"
    assert "ended in state Failed after 12.3 s." in said.description
    assert "ValueError: no rows" in said.description
    assert said.annotations["run_url"] == "http://127.0.0.1:4200/runs/flow-run/0c9"


def test_a_failed_flow_without_message_duration_or_deployment_is_worded_too() -> None:
    said = worded(SHIPPED["flow-failed"], run_event(RunFailed, deployment=None))
    assert said.summary == "Flow etl failed: run brave-run-1"
    assert "template_error" not in said.annotations


def test_a_degraded_service_says_which_check_and_why() -> None:
    data = ServiceDegraded(service="mlflow", check="write", reason="timeout", since="2026-03-02T12:00:00Z")
    said = worded(SHIPPED["resource-unavailable"], new_event(data, source="tests"))
    assert said.summary == "mlflow is degraded: write"
    assert "run_url" not in said.annotations


def test_every_alert_carries_its_event_and_its_chain() -> None:
    event = quality_failed("stocks")
    said = worded(rule_saying("s"), event)
    assert said.annotations["event_id"] == event.id
    assert said.annotations["correlation_id"] == "the-file"


def test_a_template_that_fails_does_not_lose_the_alert() -> None:
    said = worded(rule_saying("{{ data.no_such_field.deeper }}"), quality_failed("stocks"))
    assert said.summary == "r: stocks"
    assert "no_such_field" in said.annotations["template_error"]


def test_a_template_cannot_leave_its_sandbox() -> None:
    said = worded(rule_saying("{{ event.__class__.__mro__ }}"), quality_failed("stocks"))
    assert said.summary == "r: stocks"
    assert "SecurityError" in said.annotations["template_error"]


def test_a_template_cannot_call_the_methods_of_the_event() -> None:
    said = worded(rule_saying("{{ event.model_json_schema() }}"), quality_failed("stocks"))
    assert said.summary == "r: stocks"
    assert "unsafe" in said.annotations["template_error"]


def test_a_summary_is_one_line_and_texts_are_cut() -> None:
    said = worded(rule_saying("a\nb {{ 'x' * 500 }}", "{{ 'y' * 9000 }}"), quality_failed("stocks"))
    assert "\n" not in said.summary
    assert len(said.summary) <= 300
    assert len(said.description) == 4000


@pytest.mark.parametrize("source", ["{{ data.x", "{% for %}", "{{ secret }}"])
def test_a_template_with_an_error_is_refused_before_it_is_needed(source: str) -> None:
    with pytest.raises(ValueError, match="template: "):
        check_template(source)


def test_an_alert_leads_to_its_run_its_trace_and_the_dashboard() -> None:
    event = run_event(RunFailed, run="0c9").model_copy(update={"id": "a/b c"})
    links = worded(SHIPPED["flow-failed"], event).annotations
    assert links["run_url"] == f"{UI}/runs/flow-run/0c9"
    assert links["trace_url"] == "http://127.0.0.1:8501/event-trace?event=a%2Fb+c"
    assert links["dashboard_url"] == "http://127.0.0.1:8501"
    bare = word(SHIPPED["flow-failed"], event, {}, pages=Pages(UI)).annotations
    assert {"trace_url", "dashboard_url"}.isdisjoint(bare)
