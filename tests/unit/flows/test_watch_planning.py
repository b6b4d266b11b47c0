"""Runs that wait and pools that are silent, from what Prefect's client gives."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.client.schemas.objects import FlowRun, Worker, WorkPool

from flows.watch.planning import silences, waiting

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DAILY, HOURLY = uuid.uuid4(), uuid.uuid4()
TITLES = {DAILY: "etl/daily", HOURLY: "etl/hourly"}


def run(deployment: uuid.UUID | None, due_minutes_ago: float, **fields: Any) -> FlowRun:
    due = NOW - timedelta(minutes=due_minutes_ago)
    return FlowRun(flow_id=uuid.uuid4(), deployment_id=deployment, expected_start_time=due, **fields)


def worker(seconds_ago: float | None) -> Worker:
    heard = None if seconds_ago is None else NOW - timedelta(seconds=seconds_ago)
    return Worker(name="w", work_pool_id=uuid.uuid4(), last_heartbeat_time=heard, status="ONLINE")


def pool(name: str, **fields: Any) -> WorkPool:
    return WorkPool(name=name, type="process", default_queue_id=uuid.uuid4(), **fields)


def test_the_longest_waiting_run_of_each_deployment_counts() -> None:
    due = [run(DAILY, 5), run(DAILY, 20), run(None, 90)]
    assert {m.of: m.value for m in waiting(TITLES, due, NOW)} == {"etl/daily": 1200, "etl/hourly": 0}


def test_a_run_between_two_tries_waits_for_nobody() -> None:
    again = run(DAILY, 30, start_time=NOW - timedelta(minutes=40))
    assert {m.value for m in waiting(TITLES, [again], NOW)} == {0}


def test_a_pool_is_as_silent_as_its_last_worker() -> None:
    pools = [pool("etl"), pool("none"), pool("paused", is_paused=True), pool("given-up"), pool("new")]
    workers = {
        "etl": [worker(400), worker(9)],
        "none": [],
        "paused": [worker(400)],
        "given-up": [worker(8 * 86_400)],
        "new": [worker(None)],
    }
    assert {m.of: m.value for m in silences(pools, workers, NOW)} == {"etl": 9}
