"""Services & data, and the trace of an event, on a real monitor and a real broker."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from datalab.bus.publisher import Publisher
from schemas.envelope import Event, new_event
from schemas.files import FileArrived
from tests.integration.dashboard.conftest import rest
from tests.integration.monitor.parts import Monitor, Taps
from tests.support.dashboard import metrics, open_page, tables
from tests.support.polling import eventually


def test_services_topics_and_tables_are_those_of_the_monitor(lab: Monitor) -> None:
    services, topics, datasets = tables(open_page("services-and-data"))

    assert [row["Service"] for row in services] == [s["service"] for s in rest(lab, "/v1/services")["services"]]
    mlflow = next(row for row in services if row["Service"] == "mlflow")
    assert (mlflow["Status"], mlflow["Failing checks"]) == ("● degraded", "write: no answer within 5 s")
    runs = next(row for row in topics if row["Topic"] == "lab.runs")
    assert (runs["Records"], runs["Largest lag"]) == (812.0, 7.0)
    silver = next(row for row in datasets if row["Table"] == "stocks")
    assert (silver["Layer"], silver["Rows"], silver["Files"], silver["Size"]) == ("silver", 12154.0, 3.0, 401223.0)


@pytest.fixture
def story(kafka_bootstrap: str) -> tuple[Event, Event]:
    """A file with a hostile name, and what a flow said because of it."""
    name = f"<img src=x onerror=alert(1)>{uuid.uuid4().hex[:6]}.csv"
    data = FileArrived(
        uri="file:///x", path="/x", name=name, dataset="stocks", format="csv", size_bytes=2048, sha256="a" * 64,
        modified_at="2026-03-02T12:00:00Z",
    )  # fmt: skip
    file = new_event(data, source="tests")
    follow_up = new_event(data.model_copy(update={"name": "copy.csv"}), source="tests", cause=file)

    async def publish() -> None:
        async with Publisher(kafka_bootstrap, "tests") as publisher:
            for event in (file, follow_up):
                await publisher.publish(event)

    asyncio.run(publish())
    return file, follow_up


def test_a_trace_finds_the_whole_chain_from_any_of_its_events(lab: Monitor, story: tuple[Event, Event]) -> None:
    file, follow_up = story
    for asked in story:
        page = open_page("event-trace", event=asked.id)
        (rows,) = tables(page)
        assert [row["id"] for row in rows] == [file.id, follow_up.id]
        assert [row["Step"].endswith("◀") for row in rows] == [row["id"] == asked.id for row in rows]
        assert rows[0]["Outcome"] == f"{file.data['name']} · 2 KiB · stocks"
        assert metrics(page)["Events"] == "2"
        # The bridge and the notifier are away here: the page says so, and shows what Kafka knows.
        assert sorted(("bridge" in w.value, "notifier" in w.value) for w in page.warning) == [
            (False, True),
            (True, False),
        ]


def test_the_trace_of_an_alert_leads_back_to_its_cause(
    lab: Monitor, failure: Event, dataset: str, kafka_bootstrap: str
) -> None:
    async def fired() -> list[Event]:
        async with Publisher(kafka_bootstrap, "tests") as publisher:
            return await eventually(lambda: Taps(kafka_bootstrap, publisher).alerts(dataset=dataset))

    alert = asyncio.run(fired())[0]
    (rows,) = tables(open_page("event-trace", event=alert.id))
    ids = [row["id"] for row in rows]

    assert failure.id in ids
    assert ids.index(failure.id) < ids.index(alert.id)
    assert next(row for row in rows if row["id"] == alert.id)["Kind"] == "alert"


def test_without_a_broker_the_trace_says_so(lab: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    page = open_page("event-trace", event="some-event")

    assert any("kafka" in warning.value for warning in page.warning)
    assert any("some-event" in warning.value for warning in page.warning)
