"""An error budget that is used too fast, measured by a real monitor from runs that it was told of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.envelope import Event
from schemas.runs import RunCompleted, RunFailed
from tests.integration.monitor.parts import Monitor, Taps, monitor
from tests.support.monitor_events import run_event
from tests.support.polling import eventually


@pytest.fixture(scope="module")
def running(home: Path, kafka_bootstrap: str, database_url: str, group: str) -> Iterator[Monitor]:
    """One that measures each second."""
    with monitor(home, kafka_bootstrap, database_url, group, MONITOR_BURN_EVERY_S="1") as started:
        yield started


def runs(deployment: str, failed: int, completed: int) -> list[Event]:
    """Runs that ended within the last minute, the failed ones first. It is long until the first leaves the five minutes
    that count."""
    began = datetime.now(UTC) - timedelta(minutes=1)
    kinds = [RunFailed] * failed + [RunCompleted] * completed
    return [
        run_event(kind, run=f"{deployment}-{n}", deployment=deployment, time=began + timedelta(seconds=n))
        for n, kind in enumerate(kinds)
    ]


async def test_runs_that_all_fail_raise_it_once_and_good_ones_end_it(
    running: Monitor, taps: Taps, dataset: str
) -> None:
    # Of other tests' runs it may tell itself, each second, how fast they use their budget.
    await running.caught_up(topic="lab.runs")
    deployment, well = f"etl/{dataset}", f"etl/{dataset}-well"
    await taps.publish(*runs(well, failed=3, completed=20), *runs(deployment, failed=12, completed=0))

    [firing] = await until(taps, 1, deployment)
    assert firing.data["severity"] == "critical"
    # The monitor may have measured before it had heard of the last two.
    told = rf"{deployment} fails too often: (10 of 10|11 of 11|12 of 12) runs within 1 h"
    assert re.fullmatch(told, firing.data["summary"])

    await taps.publish(*runs(deployment, failed=12, completed=30)[12:])
    alerts = await until(taps, 2, deployment)
    assert [alert.type for alert in alerts] == ["lab.alert.firing.v1", "lab.alert.resolved.v1"]
    assert {alert.data["episode"] for alert in alerts} == {firing.data["episode"]}
    assert await fast(taps, well) == []


async def fast(taps: Taps, deployment: str) -> list[Event]:
    """Alerts about a budget that is used up fast; the slow windows have a rule of their own."""
    return [a for a in await taps.alerts(of=deployment) if a.data["rule"] == "success-rate-burn"]


async def until(taps: Taps, count: int, deployment: str) -> list[Event]:
    """Wait for so many of them."""
    return await eventually(lambda: fast(taps, deployment), until=lambda found: len(found) >= count)
