"""The dashboard in a real browser against the running lab: what it shows is what the REST answers.

With DASHBOARD_SCREENSHOTS set to a folder, the pictures of the pages go there rather than to a temporary one.
"""

from __future__ import annotations

import asyncio
import collections
import csv
import io
import json
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from datalab.local.demo.run import BROKEN, demonstrate
from tests.e2e.conftest import Lab
from tests.e2e.flow_figures import flows_answered, flows_shown, kind_of, nodes, summary, totals, totals_answered
from tests.e2e.pages import agree, cells, choose, metric, see_charts, take
from tests.e2e.runs import at_rest, completed, get, trigger, wait_for
from tests.support.browser import Tab, chromium, tab

PATIENCE_MS = 30_000


@pytest.fixture(scope="module")
def story(lab: Lab) -> dict[str, Any]:
    """A broken file, told to its end; the alert that it raised, as the monitor knows it."""
    proof = asyncio.run(demonstrate(lab.addresses, lambda _: None, acts=[BROKEN], patience_s=120))
    assert proof.proved, proof.as_dict()
    alerts = get(f"{lab.addresses.monitor}/v1/alerts", status="firing", rule="data-quality")["alerts"]
    assert alerts
    return dict(alerts[0])


@pytest.fixture(scope="module")
def measured(lab: Lab, story: dict[str, Any]) -> None:
    """Services, topics and tables were looked at once."""
    completed(lab, trigger(lab, "monitoring-5min"))
    for kind in ("services", "topics", "datasets"):
        wait_for(lambda kind=kind: get(f"{lab.addresses.monitor}/v1/{kind}")[kind], f"measured {kind}")


@pytest.fixture(scope="module")
def browser(story: dict[str, Any]) -> Iterator[Browser]:
    """After the story: while a browser is open, its own event loop runs, and no other can be started."""
    with chromium() as started:
        expect.set_options(timeout=PATIENCE_MS)  # what is expected of a page waits for so long; by itself, for 5 s
        yield started


@pytest.fixture
def opened(browser: Browser, lab: Lab) -> Iterator[Tab]:
    """A new tab. Whatever it showed: nothing went wrong in it, and it called nobody but the dashboard."""
    with tab(browser) as found:
        found.page.set_default_timeout(PATIENCE_MS)
        yield found
    assert found.troubles == []
    assert found.hosts <= {lab.addresses.dashboard.removeprefix("http://"), ""}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = os.environ.get("DASHBOARD_SCREENSHOTS")
    return Path(folder) if folder else tmp_path_factory.mktemp("screenshots")


def test_the_flow_page_shows_what_the_monitor_answers(opened: Tab, lab: Lab, pictures: Path) -> None:
    page = opened.page
    page.goto(lab.addresses.dashboard)
    expect(page.get_by_role("heading", name="Prefect Flows")).to_be_visible()

    agree(lambda: totals(page), lambda: totals_answered(lab))
    agree(lambda: flows_shown(page), lambda: flows_answered(lab))
    see_charts(page, 2)
    take(page, pictures / "dashboard-flows.png")


def test_the_history_is_filtered_and_exported(opened: Tab, lab: Lab, pictures: Path, tmp_path: Path) -> None:
    page = opened.page
    at_rest(lab, "medallion-etl/medallion-etl-daily")
    page.goto(lab.addresses.dashboard)
    page.get_by_role("tab", name="History").click()
    choose(page, "Flow", "medallion-etl-daily")
    choose(page, "State", "Completed")

    asked = {"deployment": "medallion-etl/medallion-etl-daily", "state": "COMPLETED", "page_size": 500}
    answered = get(f"{lab.addresses.monitor}/v1/runs", **asked)["runs"]
    agree(lambda: [row[0] for row in cells(page, 1)], lambda: [run["run_name"] for run in answered][:25])
    page.get_by_role("button", name="Export CSV").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download runs-").click()
    file = tmp_path / "runs.csv"
    download.value.save_as(file)
    lines = list(csv.DictReader(io.StringIO(file.read_text("utf-8-sig"))))
    assert [(line["run_id"], float(line["duration_s"])) for line in lines] == [
        (run["run_id"], run["duration_s"]) for run in answered
    ]
    choose(page, "State", "All")
    choose(page, "Flow", "All")
    agree(lambda: len({row[1] for row in cells(page, 1)}) > 1, lambda: True)
    take(page, pictures / "dashboard-history.png")


def test_a_limit_is_refused_with_its_problem_and_then_changed(opened: Tab, lab: Lab, pictures: Path) -> None:
    page, address = opened.page, f"{lab.addresses.monitor}/v1/thresholds/flow-duration/max_duration_s"
    before = get(address)["value"]
    page.goto(lab.addresses.dashboard)
    page.get_by_role("tab", name="Alert settings").click()

    def save(value: float) -> None:
        page.get_by_label("Longest run (seconds)").fill(f"{value:g}")
        page.get_by_test_id("stForm").filter(has_text="Longest run").get_by_role("button", name="Save").click()

    save(-5)
    problem = page.get_by_test_id("stAlert").filter(has_text="31536000")
    expect(problem).to_contain_text("value")
    take(page, pictures / "dashboard-alert-settings.png")
    assert get(address)["value"] == before
    save(4321)
    expect(problem).to_have_count(0)
    wait_for(lambda: get(address)["value"] == 4321, "the new limit")
    page.reload()
    page.get_by_role("tab", name="Alert settings").click()
    expect(page.get_by_label("Longest run (seconds)")).to_have_value("4321")
    save(before)
    wait_for(lambda: get(address)["value"] == before, "the old limit")


def test_an_alert_leads_to_its_whole_story(opened: Tab, lab: Lab, story: dict[str, Any], pictures: Path) -> None:
    page, event_id = opened.page, story["annotations"]["event_id"]
    page.goto(lab.addresses.dashboard)
    card = page.get_by_test_id("stVerticalBlock").filter(has_text=story["summary"])
    card.get_by_role("link", name="Event trace").first.click()
    expect(page.get_by_label("Event id")).to_have_value(event_id)
    labels = {"event": "Events", "run": "Runs", "alert": "Alerts", "delivery": "Deliveries"}

    def shown() -> dict[str, str]:
        page.reload()
        see_charts(page, 1)
        return {kind: metric(page, label) for kind, label in labels.items()}

    def traced() -> dict[str, str]:
        trace = json.loads(lab.must("events", "trace", event_id, "--json"))["trace"]
        known = collections.Counter(kind_of(node) for node in nodes(trace))
        return {kind: str(known[kind]) for kind in labels}

    see_charts(page, 1)
    # The story may go on after what was waited for: its last run tells of itself, and the page is drawn once.
    agree(shown, traced, within_s=90)
    steps = [row[0] for row in cells(page, 0)]
    for expected in ("file arrived", "stocks-file-arrived → medallion-etl-daily", "quality failed", "alert fires"):
        assert any(expected in step for step in steps), steps
    assert sum(step.endswith("◀") for step in steps) == 1
    page.mouse.move(5, 5)
    take(page, pictures / "dashboard-trace.png")


def test_services_topics_and_tables_are_shown(opened: Tab, lab: Lab, measured: None, pictures: Path) -> None:
    page, monitor = opened.page, lab.addresses.monitor
    page.goto(lab.addresses.dashboard)
    page.get_by_role("link", name="Services & data").click()
    expect(page.get_by_role("heading", name="Kafka topics")).to_be_visible()

    def answered(kind: str, name: str) -> list[str]:
        return [entry[name] for entry in get(f"{monitor}/v1/{kind}")[kind]]

    agree(lambda: [row[0] for row in cells(page, 0)], lambda: answered("services", "service"))
    agree(lambda: [row[0] for row in cells(page, 1)], lambda: sorted(answered("topics", "topic")))
    agree(
        lambda: [(row[1], row[2].replace(",", "")) for row in cells(page, 2)],
        lambda: [(d["table"], f"{d['rows']:.0f}") for d in get(f"{monitor}/v1/datasets")["datasets"]],
    )
    take(page, pictures / "dashboard-services.png")


def test_a_trace_can_be_passed_on_by_its_address(opened: Tab, lab: Lab, story: dict[str, Any]) -> None:
    page, event_id = opened.page, story["annotations"]["event_id"]
    page.goto(f"{lab.addresses.dashboard}/event-trace?event={event_id}&lang=PT")
    expect(page.get_by_label("Id do evento")).to_have_value(event_id)
    agree(lambda: any("qualidade reprovada  ◀" in row[0] for row in cells(page, 0)), lambda: True)


def test_every_page_speaks_portuguese_from_its_address(opened: Tab, lab: Lab, pictures: Path) -> None:
    page = opened.page
    page.goto(f"{lab.addresses.dashboard}/?lang=PT")
    expect(page.get_by_text("Situação", exact=True)).to_be_visible()
    agree(lambda: metric(page, "Execuções, 7 dias"), lambda: str(summary(lab)["runs"]["week"]))
    see_charts(page, 2)
    take(page, pictures / "dashboard-flows-pt.png")
    page.get_by_test_id("stTopNav").get_by_role("link", name="Rastro do evento").click()
    expect(page.get_by_role("heading", name="Rastro do evento")).to_be_visible()
    page.get_by_test_id("stTopNav").get_by_role("link", name="Serviços e dados").click()
    expect(page.get_by_role("heading", name="Tópicos do Kafka")).to_be_visible()


def test_an_alert_appears_and_goes_by_itself(opened: Tab, lab: Lab) -> None:
    page = opened.page
    page.goto(lab.addresses.dashboard)
    name = f"printer-{uuid.uuid4().hex[:6]}"
    summary = page.get_by_text(f"{name} is degraded: paper")
    page.get_by_test_id("stMetric").first.wait_for()
    expect(summary).to_have_count(0)

    check = {"service": name, "check": "paper", "reason": "out of paper", "since": datetime.now(UTC).isoformat()}
    lab.must("publish", "lab.service.degraded.v1", "--data", json.dumps(check))
    expect(summary).to_be_visible()
    lab.must("publish", "lab.service.recovered.v1", "--data", json.dumps({**check, "reason": "paper is in"}))
    # The check must have passed for a while first: `clear_for_s` of its rule.
    expect(summary).to_have_count(0, timeout=3 * PATIENCE_MS)
