"""Each page, run by Streamlit's test runner: what it shows, in both languages, and what it says when all is away."""

from __future__ import annotations

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from services.dashboard.views.flow_names import FlowKey
from tests.support.dashboard import drawn, metrics, open_page, tables
from tests.unit.dashboard.answers import ALERT, DELIVERY, FLOW, HOSTILE, RUN, TRIGGER, Services

PAGES = ("", "event-trace", "services-and-data")


def test_the_first_page_shows_the_totals_of_the_monitor(services: Services) -> None:
    shown = metrics(open_page())

    assert shown["Running now"] == "1"
    assert (shown["Runs, last hour"], shown["Runs, last 24 h"], shown["Runs, 7 days"]) == ("3", "1,234", "2,800")
    assert (shown["Success, 7 days"], shown["Active alerts"], shown["Services well"]) == ("98.5 %", "3", "7 of 8")


def test_portuguese_writes_words_and_numbers_its_own_way(services: Services) -> None:
    page = open_page(lang="PT")

    assert page.title[0].value == "Prefect Flows"
    assert metrics(page)["Execuções, 24 h"] == "1.234"
    assert metrics(page)["Sucesso, 7 dias"] == "98,5 %"


def test_the_language_can_be_set_and_switched(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHBOARD_LANGUAGE", "pt")
    page = open_page("services-and-data")
    assert page.title[0].value == "Serviços e dados"

    page.button_group(key="lang").set_value("en")
    assert drawn(page.run()).title[0].value == "Services & data"


def test_a_line_for_each_flow_with_a_link_to_its_last_run(services: Services) -> None:
    etl, adhoc = tables(open_page())[0]

    assert etl["Flow / deployment"] == "medallion-etl-daily"
    assert etl["Last run"] == "http://127.0.0.1:4200/runs/flow-run/run-1"
    assert (etl["Running"], etl["1 h"], etl["24 h"], etl["7 d"]) == (2, 1, 4, 20)
    assert [etl[name] for name in ("Mean", "p50", "p90", "p95", "p99")] == [9.1, 8.7, 12.0, 13.1, 14.0]
    assert (etl["CPU"], etl["Memory"], etl["Success"]) == (4.0, 210_000_000.0, 0.95)
    assert (adhoc["Flow / deployment"], adhoc["Last state"]) == ("adhoc", "● Failed")


def test_active_alerts_lead_to_the_run_and_to_the_trace(services: Services) -> None:
    page = open_page()

    assert "Active alerts (1)" in [head.value for head in page.subheader]
    assert ALERT["summary"] in [text.value for text in page.text]
    assert ALERT["annotations"]["run_url"] in [link.proto.url for link in page.get("link_button")]
    (to_trace,) = page.get("page_link")
    assert (to_trace.proto.page, to_trace.proto.query_string) == ("event-trace", "event=event-1&lang=EN")


def test_what_events_say_is_text_never_markdown_or_html(services: Services) -> None:
    services.answers["/v1/alerts"]["alerts"] = [{**ALERT, "summary": HOSTILE, "rule": HOSTILE, "severity": HOSTILE}]
    page = open_page()

    assert HOSTILE in [text.value for text in page.text]
    for element in (*page.markdown, *page.caption, *page.get("badge")):
        assert "<script>" not in element.proto.body
        assert not element.proto.allow_html


def test_the_history_asks_the_monitor_for_what_was_chosen(services: Services) -> None:
    page = open_page()
    services.asked.clear()
    page.selectbox(key="history-state").set_value("FAILED")
    page.selectbox(key="history-flow").set_value(FlowKey(FLOW["flow"], FLOW["deployment"]))
    page.selectbox(key="history-period").set_value("all")
    page.selectbox(key="history-size").set_value(100)
    drawn(page.run())

    asked = services.queries("/v1/runs")[-1]
    assert asked == {"state": "FAILED", "deployment": FLOW["deployment"], "page_size": "100"}


def test_the_history_turns_pages_and_comes_back(services: Services) -> None:
    services.answers["/v1/runs"] = lambda request: {
        "runs": [{**RUN, "run_name": request.url.params.get("page_token") or "first"}],
        "next_page_token": None if request.url.params.get("page_token") else "second",
    }
    page = open_page()
    older, newer = (next(b for b in page.button if b.label == label) for label in ("Older", "Newer"))
    assert newer.disabled
    older.click()
    drawn(page.run())
    assert tables(page)[1][0]["Run"] == "second"
    begins = {query["since"] for query in services.queries("/v1/runs")}
    assert len(begins) == 1, "the period must not move while pages are turned"

    next(b for b in page.button if b.label == "Newer").click()
    assert tables(drawn(page.run()))[1][0]["Run"] == "first"


def test_the_export_offers_a_file_until_the_filters_change(services: Services) -> None:
    page = open_page()
    assert not page.get("download_button")
    press(page, "Export CSV")
    (button,) = page.get("download_button")
    assert button.proto.label.startswith("Download runs-")

    page.selectbox(key="history-state").set_value("FAILED")
    assert not drawn(page.run()).get("download_button"), "the file of another question must not be offered"


def test_an_export_without_the_monitor_says_so_and_offers_nothing(services: Services) -> None:
    page = open_page()
    usual_answer = services.answers["/v1/runs"]
    refuse = httpx.Response(503)
    services.answers["/v1/runs"] = lambda request: refuse if request.url.params["page_size"] == "500" else usual_answer
    press(page, "Export CSV")

    assert not page.get("download_button")
    assert any("monitor" in warning.value and "503" in warning.value for warning in page.warning)


def test_a_limit_is_sent_with_its_version(services: Services) -> None:
    services.answers["PUT /v1/thresholds/flow-duration/max_duration_s"] = services.answers["/v1/thresholds"][
        "thresholds"
    ][0]
    page = open_page()
    stem = 'limits-flow-duration-max_duration_s-"2.0"'
    page.number_input(key=f"{stem}-value").set_value(900.0)
    page.number_input(key=f"{stem}-for-medallion-etl/medallion-etl-daily").set_value(60.0)
    save(page)

    overrides = {"monitoring/monitoring-5min": 240.0, "medallion-etl/medallion-etl-daily": 60.0}
    assert services.bodies("PUT") == [{"value": 900.0, "overrides": overrides}]
    assert [r.headers["If-Match"] for r in services.asked if r.method == "PUT"] == ['"2.0"']
    assert [success.value for success in page.success] == ["Saved."]
    assert not page.error


def test_an_invalid_limit_shows_the_field_and_its_problem_and_keeps_what_was_entered(services: Services) -> None:
    services.answers["PUT /v1/thresholds/flow-duration/max_duration_s"] = httpx.Response(
        422, json={"detail": "…", "errors": [{"field": "value", "reason": "must be > 0 and <= 31536000"}]}
    )
    page = open_page()
    field = 'limits-flow-duration-max_duration_s-"2.0"-value'
    page.number_input(key=field).set_value(-5.0)
    save(page)

    (problem,) = page.error
    assert "value" in problem.value
    assert "31536000" in problem.value
    assert page.number_input(key=field).value == -5.0


@pytest.mark.parametrize("status", [401, 403])
def test_where_the_monitor_wants_a_token_the_page_says_how_to_give_it_one(services: Services, status: int) -> None:
    services.answers["PUT /v1/thresholds/flow-duration/max_duration_s"] = httpx.Response(
        status, json={"detail": "a bearer token is required"}
    )
    page = open_page()
    page.number_input(key='limits-flow-duration-max_duration_s-"2.0"-value').set_value(900.0)
    save(page)

    (problem,) = page.error
    assert "DASHBOARD_TOKEN" in problem.value
    assert "a bearer token is required" in problem.value


def test_a_limit_that_somebody_else_changed_is_not_overwritten(services: Services) -> None:
    services.answers["PUT /v1/thresholds/flow-duration/max_duration_s"] = httpx.Response(
        412, json={"detail": "changed"}
    )
    page = open_page()
    save(page)

    assert any("Somebody else" in warning.value for warning in page.warning)


def test_a_rule_that_cannot_be_switched_off_stays_on(services: Services) -> None:
    page = open_page()
    page.toggle[0].set_value(False)
    drawn(page.run())

    assert services.bodies("PUT") == [{"enabled": False}]
    assert page.toggle[0].value is True
    assert len(page.error) == 1


def save(page: AppTest) -> None:
    """Press the button of the one form."""
    press(page, "Save")


def press(page: AppTest, label: str) -> None:
    """Press the button with this label."""
    next(button for button in page.button if button.label == label).click()
    drawn(page.run())


def test_the_trace_of_an_event_is_a_tree_of_what_followed(services: Services) -> None:
    services.answers["/v1/events/event-0/trace"] = {"event_id": "event-0", "triggers": [TRIGGER]}
    services.answers["/v1/deliveries"]["deliveries"] = [DELIVERY]
    page = open_page("event-trace", event="event-0")

    run, delivery = tables(page)[0]
    assert run["Step"] == "▶ stocks-file-arrived → medallion-etl-daily"
    assert (run["Outcome"], run["id"], run["Prefect"]) == ("Completed", "run-1", TRIGGER["run_url"])
    assert delivery["Outcome"] == "failed · 404: 404 no such hook · attempts: 8"
    assert metrics(page)["Runs"] == "1"
    assert services.queries("/v1/deliveries")[0]["correlation_id"] == "event-0"


def test_a_recent_event_can_be_chosen(services: Services) -> None:
    services.answers["/v1/events/event-0/trace"] = {"event_id": "event-0", "triggers": [TRIGGER]}
    page = open_page("event-trace")
    page.selectbox(key="trace-recent").set_value("event-0")
    drawn(page.run())

    assert page.text_input(key="event").value == "event-0"
    assert len(tables(page)[0]) == 1


@pytest.mark.parametrize("event_id", ["unknown", "../../etc/passwd", "a/b?c=d#e", HOSTILE, "  "])
def test_an_unknown_event_is_said_to_be_unknown(services: Services, event_id: str) -> None:
    services.answers["/v1/events/unknown/trace"] = {"event_id": "unknown", "triggers": []}
    services.answers["/v1/triggers"] = {"triggers": [], "next_page_token": None}
    page = open_page("event-trace", event=event_id)

    assert bool(page.warning) == bool(event_id.strip())
    assert all(request.url.raw_path.split(b"?")[0].count(b"/") <= 4 for request in services.asked), (
        "an id must stay one segment"
    )


def test_services_topics_and_tables_are_listed(services: Services) -> None:
    shown = tables(open_page("services-and-data"))

    service, topic, dataset = (rows[0] for rows in shown)
    assert (service["Service"], service["Failing checks"]) == ("mlflow", "write: no answer")
    assert (topic["Topic"], topic["Size"], topic["Largest lag"], topic["Lag by consumer group"]) == (
        "lab.runs",
        2_500_000.0,
        3.0,
        "monitor 3, bridge 0",
    )
    assert (dataset["Layer"], dataset["Table"], dataset["Rows"]) == ("silver", "stocks", 12154.0)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["EN", "PT"])
def test_a_page_without_any_service_says_who_is_away(services: Services, path: str, language: str) -> None:
    services.away = {8082, 8083, 8084}
    page = open_page(path, lang=language)

    asked = "bridge" if path == "event-trace" else "monitor"
    assert page.warning
    assert all(asked in warning.value for warning in page.warning)
    assert not page.error


def test_one_service_away_takes_nothing_from_the_others(services: Services) -> None:
    services.away = {8084}
    services.answers["/v1/events/event-0/trace"] = {"event_id": "event-0", "triggers": [TRIGGER]}
    page = open_page("event-trace", event="event-0")

    assert len(tables(page)[0]) == 1
    assert ["notifier" in warning.value for warning in page.warning] == [True]


@pytest.mark.parametrize("answer", [{}, [], "text", {"flows": [{"flow": 1}]}])
def test_an_answer_of_an_unknown_form_is_no_stack_trace(services: Services, answer: object) -> None:
    services.answers["/v1/flows"] = answer
    page = open_page()

    assert any("monitor" in warning.value for warning in page.warning)


def test_an_empty_lab_says_what_to_do(services: Services) -> None:
    services.answers["/v1/flows"] = {"flows": []}
    services.answers["/v1/runs"] = {"runs": [], "next_page_token": None}
    services.answers["/v1/alerts"] = {"alerts": [], "counts": {}, "next_page_token": None}
    page = open_page()

    assert any("datalab demo" in info.value for info in page.info)
    assert any("No alert is active" in success.value for success in page.success)
