"""Times that cannot be are refused with the field that has them; what a wrong clock explains is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schemas.catalog import parse_data
from schemas.envelope import Event
from schemas.runs import RunFailed
from services.monitor.timeliness import FutureTimeError, check_time
from tests.support.monitor_events import degraded, quality_failed, run_event

NOW = datetime.now(UTC)
FAR, NEAR = NOW + timedelta(days=1, seconds=1), NOW + timedelta(hours=23)


def check(event: Event) -> None:
    check_time(event, parse_data(event), NOW)


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (quality_failed("stocks", time=FAR), "time"),
        (run_event(RunFailed, occurred_at=FAR), "data.occurred_at"),
        (run_event(RunFailed, start_time=FAR), "data.start_time"),
        (degraded("mlflow", since=FAR), "data.since"),
    ],
)
def test_more_than_a_day_ahead_is_refused(event: Event, field: str) -> None:
    with pytest.raises(FutureTimeError, match=f"^{field}: {FAR.year}.*is more than a day ahead"):
        check(event)


@pytest.mark.parametrize("time", [NEAR, NOW, NOW - timedelta(days=9999)])
def test_anything_else_is_believed(time: datetime) -> None:
    check(quality_failed("stocks", time=time))
    check(run_event(RunFailed, time=time))
