"""Which running runs have exceeded their limit: from plain values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from datalab.store.tables.monitor import RunRow
from services.monitor.limits import Limit
from services.monitor.overruns import overruns

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def running(seconds: float | None, *, deployment: str | None = "etl/daily") -> RunRow:
    since = None if seconds is None else NOW - timedelta(seconds=seconds)
    return RunRow(run_id="run", run_name="amber-otter", flow="etl", deployment=deployment, running_since=since)


def test_a_run_overruns_once_it_has_run_longer_than_its_limit() -> None:
    assert overruns([running(60)], Limit(60), NOW) == []
    [overrun] = overruns([running(60.5)], Limit(60), NOW)
    assert overrun.exceeded_at == NOW - timedelta(seconds=0.5)
    assert (overrun.limit_s, overrun.start_time) == (60, NOW - timedelta(seconds=60.5))


def test_each_deployment_has_its_limit() -> None:
    limit = Limit(3600, {"etl/daily": 30, "etl": 90})
    assert [o.limit_s for o in overruns([running(60), running(60, deployment=None)], limit, NOW)] == [30]


def test_a_run_that_began_later_by_its_clock_or_has_no_start_does_not_overrun() -> None:
    assert overruns([running(-3600), running(None)], Limit(1), NOW) == []
