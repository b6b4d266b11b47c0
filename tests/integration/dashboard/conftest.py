"""A real monitor that has handled a lab's events, and a dashboard that reads it. The other services are away."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from datalab.bus.publisher import Publisher
from schemas.envelope import Event
from schemas.metrics import RUN_CPU, RUN_MEMORY_PEAK, TABLE_FILES, TABLE_ROWS, TABLE_SIZE, TOPIC_LAG, TOPIC_RECORDS
from schemas.runs import RunCompleted, RunFailed, RunStarted
from tests.integration.monitor.parts import Monitor, Taps, monitor
from tests.support.lab_parts import kafka_broker
from tests.support.monitor_events import degraded, measured, quality_failed, run_event
from tests.support.polling import eventually

ENDED, FAILED = 40, 3


@pytest.fixture(scope="module")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker of the module's own: what the pages show is counted, and other tests leave runs on shared topics."""
    with kafka_broker(tmp_path_factory.mktemp("dashboard-kafka")) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="module")
def dataset() -> str:
    """A dataset of this module: topics are shared."""
    return f"stocks-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def failure(dataset: str) -> Event:
    """The event that raises the alert on data quality."""
    return quality_failed(dataset)


def lab_events(failure: Event) -> list[Event]:
    """Runs of a flow that mostly end well, one that runs, an alert, and measurements of everything.

    No run is about as old as an hour, a day or a week: it would leave that period between two looks at it.
    """
    now = datetime.now(UTC)
    run = uuid.uuid4().hex[:8]
    events = []
    for number in range(ENDED):
        kind = RunFailed if number < FAILED else RunCompleted
        ended = now - (timedelta(minutes=number + 1) if number < 20 else timedelta(hours=3 * number - 58))
        message = f"row {number} <b>broke</b> = all" if kind is RunFailed else None
        events += [
            run_event(kind, run=f"{run}-{number}", time=ended, start_time=ended - timedelta(seconds=number + 1),
                      end_time=ended, duration_s=number + 1.0, message=message),
            measured("etl", RUN_CPU, number / 10, run_id=f"{run}-{number}", flow="etl"),
            measured("etl", RUN_MEMORY_PEAK, 1e8 + number, run_id=f"{run}-{number}", flow="etl"),
        ]  # fmt: skip
    return [
        *events,
        run_event(RunStarted, run=f"{run}-now", time=now, start_time=now),
        degraded("mlflow", "write"),
        measured("lab.runs", TOPIC_RECORDS, 812),
        measured("lab.runs", TOPIC_LAG, 7, group="bridge"),
        measured("silver/stocks", TABLE_ROWS, 12154),
        measured("silver/stocks", TABLE_FILES, 3),
        measured("silver/stocks", TABLE_SIZE, 401223),
        failure,
    ]


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, kafka_bootstrap: str, database_url: str, failure: Event
) -> Iterator[Monitor]:
    """The monitor, once it has handled every event."""
    home = tmp_path_factory.mktemp("dashboard")
    group = f"monitor-{uuid.uuid4().hex[:8]}"
    with monitor(home, kafka_bootstrap, database_url, group) as started:
        asyncio.run(_feed(started, kafka_bootstrap, group, lab_events(failure)))
        yield started


async def _feed(started: Monitor, kafka: str, group: str, events: list[Event]) -> None:
    await started.ready()
    async with Publisher(kafka, "tests") as publisher:
        placed = await asyncio.gather(*(publisher.publish(event) for event in events))
        for topic in {ref.topic for ref in placed}:
            await Taps(kafka, publisher).until_handled(group, topic)

    async def known() -> tuple[int, int, int]:
        summary = (await started.get("/v1/summary")).json()
        measurements = [(await started.get(f"/v1/{name}")).json()[name] for name in ("topics", "datasets", "services")]
        cpu = [f["cpu"]["mean_s"] for f in (await started.get("/v1/flows")).json()["flows"] if f["flow"] == "etl"]
        return (
            summary["runs"]["week"],
            sum(summary["alerts"]["open"].values()),
            sum(map(bool, [*measurements, *cpu])),
        )

    await eventually(known, until=lambda k: k[0] >= ENDED and k[1] >= 2 and k[2] >= 4)


@pytest.fixture
def lab(running: Monitor, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> Monitor:
    """The dashboard's pages read this monitor and this broker."""
    monkeypatch.setenv("MONITOR_URL", running.url)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    for name in ("BRIDGE_URL", "NOTIFIER_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("DASHBOARD_LANGUAGE", "DASHBOARD_TIMEZONE", "PREFECT_UI_URL", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    return running


def rest(lab: Monitor, path: str, **params: Any) -> Any:
    """What the monitor itself answers."""
    return httpx.get(f"{lab.url}{path}", params=params, timeout=10, trust_env=False).raise_for_status().json()
