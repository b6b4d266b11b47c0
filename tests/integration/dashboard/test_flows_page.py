"""The page "Prefect Flows" on a real monitor: its numbers are the REST's, and limits are really changed."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from schemas.envelope import Event
from services.dashboard.language import phrases
from services.dashboard.pages.flow_history import export
from services.dashboard.pages.site import Site
from services.dashboard.settings import DashboardSettings
from services.dashboard.views.flow_names import FlowKey
from services.dashboard.views.history import Filters, ask
from tests.integration.dashboard.conftest import ENDED, FAILED, rest
from tests.integration.monitor.parts import Monitor
from tests.support.dashboard import charts, drawn, metrics, open_page, tables

ETL = FlowKey("etl", "etl/daily")


def test_totals_and_flows_are_those_of_the_monitor(lab: Monitor) -> None:
    page = open_page()
    shown, summary = metrics(page), rest(lab, "/v1/summary")

    assert shown["Running now"] == str(summary["running_now"]) == "1"
    assert shown["Runs, 7 days"] == str(summary["runs"]["week"]) == str(ENDED)
    assert shown["Success, 7 days"] == f"{summary['success_rate']:.1%}".replace("%", " %")
    assert shown["Active alerts"] == str(sum(summary["alerts"]["open"].values()))

    (flow,) = rest(lab, "/v1/flows")["flows"]
    (row,) = tables(page)[0]
    assert row["Flow / deployment"] == "etl / daily"
    assert (row["Running"], row["7 d"], row["Success"]) == (1, ENDED, flow["success_rate"])
    for name in ("mean", "p50", "p90", "p95", "p99"):
        assert row[{"mean": "Mean"}.get(name, name)] == flow["duration"][f"{name}_s"]
    assert row["CPU"] == flow["cpu"]["mean_s"]
    assert row["Memory"] == flow["memory_peak"]["mean_bytes"]
    assert flow["last_run_id"] in row["Last run"]


def test_every_open_alert_is_listed_with_its_trace(lab: Monitor, failure: Event) -> None:
    page = open_page()
    firing = rest(lab, "/v1/alerts", status="firing")

    shown = [text.value for text in page.text]
    assert {alert["summary"] for alert in firing["alerts"]} <= set(shown)
    assert any(failure.id in link.proto.query_string for link in page.get("page_link"))


@pytest.mark.parametrize("period", ["hour", "day", "week"])
def test_the_charts_show_every_run_of_the_period(lab: Monitor, period: str) -> None:
    page = open_page()
    page.button_group(key="period").set_value(period)
    drawn(page.run())

    ended = rest(lab, "/v1/summary")["runs"][period]
    drawn_now = charts(page)
    assert len(drawn_now) == 2
    for rows in drawn_now:
        assert sum(row["runs"] for row in rows) == ended


def test_the_history_filters_and_pages_through_everything(lab: Monitor) -> None:
    page = open_page()
    page.selectbox(key="history-flow").set_value(ETL)
    page.selectbox(key="history-state").set_value("COMPLETED")
    drawn(page.run())
    seen = [row["Run"] for row in tables(page)[1]]
    assert len(seen) == 25
    next(button for button in page.button if button.label == "Older").click()
    seen += [row["Run"] for row in tables(drawn(page.run()))[1]]

    expected = rest(lab, "/v1/runs", deployment="etl/daily", state="COMPLETED", page_size=500)["runs"]
    assert seen == [run["run_name"] for run in expected]
    assert len(seen) == ENDED - FAILED


def test_the_exported_file_is_what_the_monitor_knows(lab: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.dashboard.pages.flow_history._EXPORT_PAGE", 7)
    settings = DashboardSettings()
    site = Site(settings, phrases("en", settings.zone))
    question = ask(Filters(ETL, None, "week", 25), datetime.now(UTC))
    lines = list(csv.DictReader(io.StringIO(export(site, question.wanted).decode("utf-8-sig"))))

    expected = rest(lab, "/v1/runs", deployment="etl/daily", page_size=500)["runs"]
    assert [(line["run_id"], line["state_type"]) for line in lines] == [
        (r["run_id"], r["state_type"]) for r in expected
    ]
    assert [float(line["duration_s"]) for line in lines if line["duration_s"]] == [
        run["duration_s"] for run in expected if run["duration_s"] is not None
    ]


def test_a_limit_is_changed_in_the_monitor(lab: Monitor) -> None:
    page = open_page()
    set_limit(page, 1234.0)

    threshold = rest(lab, "/v1/thresholds/flow-duration/max_duration_s")
    assert threshold["value"] == 1234.0
    assert threshold["overrides"]["monitoring/monitoring-5min"] == 300.0, "what was not touched stays"
    assert not page.error


def test_an_invalid_limit_shows_what_the_monitor_says_of_it_and_changes_nothing(lab: Monitor) -> None:
    before = rest(lab, "/v1/thresholds/flow-duration/max_duration_s")
    page = open_page()
    set_limit(page, -1.0)

    (problem,) = page.error
    assert "value" in problem.value
    assert "31536000" in problem.value
    assert rest(lab, "/v1/thresholds/flow-duration/max_duration_s") == before


def test_a_limit_changed_by_somebody_else_meanwhile_is_kept(lab: Monitor) -> None:
    page = open_page()
    theirs = httpx.put(f"{lab.url}/v1/thresholds/flow-duration/max_duration_s", json={"value": 77}, timeout=60)
    assert theirs.status_code == 200
    set_limit(page, 88.0)

    assert rest(lab, "/v1/thresholds/flow-duration/max_duration_s")["value"] == 77
    assert any("Somebody else" in warning.value for warning in page.warning)


def test_a_rule_is_switched_off_and_on(lab: Monitor) -> None:
    page = open_page()
    rules = [rule["rule"] for rule in rest(lab, "/v1/rules")["rules"]]
    assert len(page.toggle) == len(rules)
    for enabled in (False, True):
        page.toggle[rules.index("flow-failed")].set_value(enabled)
        drawn(page.run())
        now = {rule["rule"]: rule["enabled"] for rule in rest(lab, "/v1/rules")["rules"]}
        assert now["flow-failed"] is enabled


def set_limit(page: AppTest, value: float) -> None:
    """Fill in the longest run and save, as a person would."""
    field = next(n for n in page.number_input if n.key.startswith("limits-flow-duration-") and n.key.endswith("-value"))
    field.set_value(value)
    form = field.proto.form_id
    next(button for button in page.button if button.proto.form_id == form).click()
    drawn(page.run())
