"""Limits by deployment, and what is wrong with a value, by field."""

from __future__ import annotations

from services.monitor.limits import Limit, Threshold, faults_of

DURATION = Threshold(rule="flow-duration", name="max_duration_s", description="d", default=3600)
RATIO = Threshold(rule="data-quality", name="max_failed_ratio", description="d", default=0.0)


def test_a_deployment_has_its_own_limit_else_its_flows_else_everybodys() -> None:
    limit = Limit(3600, {"etl": 1800, "etl/daily": 60})
    assert limit.of("etl", "etl/daily") == 60
    assert limit.of("etl", "etl/other") == 1800
    assert limit.of("etl", None) == 1800
    assert limit.of("ml", "ml/weekly") == 3600
    assert limit.of(None, None) == 3600


def test_a_fault_names_its_field() -> None:
    bounds = "must be > 0 and <= 31536000"
    assert faults_of(DURATION, 0, {"etl/daily": -1}) == {"value": bounds, "overrides.etl/daily": bounds}
    assert faults_of(DURATION, 1, {"etl/daily": 1}) == {}
    assert faults_of(DURATION, None, None) == {}


def test_a_limit_that_is_the_same_for_all_takes_no_overrides() -> None:
    assert faults_of(RATIO, 0.1, {}) == {}
    reason = "data-quality.max_failed_ratio is the same for all; leave them out"
    assert faults_of(RATIO, None, {"etl": 0.1}) == {"overrides": reason}
