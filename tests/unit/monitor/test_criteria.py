"""What a threshold makes of an event: raises, ends, holds back; and which values it may have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schemas.catalog import parse_data
from schemas.quality import RuleResult
from schemas.runs import RunFailed
from schemas.services import ServiceHeartbeat
from services.monitor.criteria import CRITERIA, Circumstances, Verdict
from services.monitor.decide import Sign
from tests.support.monitor_events import degraded, quality_failed, run_event

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def share(failed: int, checked: int, limit: float, **fields: object) -> Verdict:
    data = parse_data(quality_failed("stocks", rows_failed=failed)).model_copy(
        update={"rows_checked": checked, **fields}
    )
    return CRITERIA["max_failed_ratio"].judge(data, limit, Circumstances(NOW, NOW))


def lasting(seconds: float, limit: float) -> Verdict:
    data = parse_data(degraded("mlflow", since=NOW - timedelta(seconds=seconds)))
    return CRITERIA["for_s"].judge(data, limit, Circumstances(NOW, NOW))


def silent(seconds: float, *, listening_for: float | None) -> Verdict:
    """A heartbeat of so long ago, judged by somebody who has listened for so long; None: when it comes."""
    since = None if listening_for is None else NOW - timedelta(seconds=listening_for)
    around = Circumstances(NOW, NOW - timedelta(seconds=seconds), listening_since=since)
    return CRITERIA["silent_s"].judge(ServiceHeartbeat(service="monitoring"), 900, around)


def test_silence_is_bad_once_it_has_lasted_and_somebody_has_listened_for_as_long() -> None:
    assert silent(900, listening_for=10_000).sign is Sign.BAD
    assert silent(899, listening_for=10_000)[::2] == (Sign.GOOD, True)
    # A lab that was off for the night: the monitor has only just begun.
    assert silent(30_000, listening_for=899)[::2] == (Sign.GOOD, True)
    assert silent(30_000, listening_for=900).sign is Sign.BAD


def test_a_heartbeat_out_of_a_backlog_is_good_news_whatever_its_age() -> None:
    assert silent(30_000, listening_for=None)[::2] == (Sign.GOOD, True)


def test_a_share_of_rows_above_the_limit_raises_and_one_that_is_allowed_ends() -> None:
    assert share(11, 100, 0.1).sign is Sign.BAD
    allowed = share(10, 100, 0.1)
    assert (allowed.sign, allowed.reason) == (Sign.GOOD, "10.000% of the rows failed, and 10.000% may")


def test_records_that_are_judged_again_are_no_share_of_a_file() -> None:
    assert share(5, 5, 0.1, replay=True).sign is None
    assert share(5, 5, 0.0, replay=True).sign is Sign.BAD


def test_without_a_limit_each_failed_gate_raises() -> None:
    assert share(0, 100, 0.0).sign is Sign.BAD


def test_a_file_that_is_refused_as_a_whole_raises_whatever_the_share() -> None:
    refused = RuleResult(name="min_rows", severity="fail", expression="count(*) >= 1000", failed_rows=1)
    assert share(0, 12, 0.5, rules=[refused]).sign is Sign.BAD
    assert share(0, 0, 0.5).sign is Sign.BAD


@pytest.mark.parametrize(("failures", "sign"), [(1, None), (2, None), (3, Sign.BAD), (4, Sign.BAD)])
def test_failures_must_come_in_a_row(failures: int, sign: Sign | None) -> None:
    judged = CRITERIA["failures"].judge(parse_data(run_event(RunFailed)), 3, Circumstances(NOW, NOW, failures))
    assert judged.sign is sign
    assert not judged.held


def test_a_young_failure_of_a_check_is_held_back_until_it_is_old_enough() -> None:
    young = lasting(59.0, 60.0)
    assert (young.sign, young.held) == (None, True)
    assert young.reason == "failing for 59 s, and the alert comes after 60 s"
    assert lasting(60.0, 60.0).sign is Sign.BAD
    assert lasting(0.0, 0.0).sign is Sign.BAD


def test_a_failure_that_begins_later_by_its_clock_is_held_back_too() -> None:
    assert lasting(-3600.0, 60.0).held
    assert lasting(-3600.0, 0.0).sign is Sign.BAD


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("max_duration_s", [0.5, 31_536_000], [0, -1, 31_536_001, 1e300]),
        ("max_failed_ratio", [0, 0.999], [-0.1, 1]),
        ("failures", [1, 1000], [0, 1.5, 1001]),
        ("for_s", [0, 604_800], [-1, 604_801]),
    ],
)
def test_each_has_bounds(name: str, allowed: list[float], refused: list[float]) -> None:
    criterion = CRITERIA[name]
    assert [criterion.fault(value) for value in allowed] == [None] * len(allowed)
    assert [criterion.fault(value) for value in refused] == [f"must be {criterion.must_be}"] * len(refused)
