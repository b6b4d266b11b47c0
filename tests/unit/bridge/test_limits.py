"""Places and retries: the decisions, and how rules write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from datalab.store.tables.bridge import TriggerRow
from services.bridge.failures import again
from services.bridge.limits import Limits, OnFailure, follow_up, free_places
from services.bridge.rules import Rule, RuleSpec


def test_as_many_places_are_free_as_the_limit_leaves() -> None:
    two = Limits(active=2)
    assert [free_places(two, active, 50) for active in (0, 1, 2, 5)] == [2, 1, 0, 0]
    assert free_places(None, 1000, 50) == 50
    assert free_places(Limits(active=99), 0, 50) == 50


def test_retries_come_later_and_later_and_then_the_dead_letter() -> None:
    policy = OnFailure.model_validate({"retries": 3, "delay": "10s", "longest": "30s"})
    followed = [follow_up(policy, "r", "FAILED", retries) for retries in range(5)]
    assert [f.kind for f in followed] == ["retry", "retry", "retry", "dead", "dead"]
    assert [f.delay.total_seconds() for f in followed[:3]] == [10, 20, 30]
    assert followed[0].reason == "run r FAILED; retry 1 of 3 follows"


def test_nothing_follows_where_the_rule_did_not_ask_for_it() -> None:
    assert follow_up(OnFailure(), "r", "FAILED", 0).kind == "nothing"
    only_crashes = OnFailure.model_validate({"retries": 1, "states": ["crashed"]})
    assert follow_up(only_crashes, "r", "FAILED", 0).kind == "nothing"
    assert follow_up(only_crashes, "r", "CRASHED", 0).kind == "retry"


def test_each_attempt_has_a_key_of_its_own_and_its_number_in_tag_and_label() -> None:
    row = TriggerRow(
        idempotency_key="datalab:r:f/d:e", attempt=1, retries=0, earlier_runs=[], tags=["x"], options={"name": "n"},
        flow_run_id="one", run_state="FAILED", run_finished=True, followed_up=False, status="created",
    )  # fmt: skip
    again(row, "because", timedelta(seconds=1))
    row.flow_run_id, row.run_state = "two", "CRASHED"
    again(row, "because", timedelta(seconds=1))
    assert row.idempotency_key == "datalab:r:f/d:e:attempt-3"
    assert row.tags == ["x", "datalab.attempt=3"]
    assert row.options == {"name": "n", "labels": {"datalab.attempt": 3}}
    assert row.earlier_runs == [{"run": "one", "state": "FAILED"}, {"run": "two", "state": "CRASHED"}]
    assert (row.status, row.flow_run_id, row.run_finished) == ("waiting", None, False)


@pytest.mark.parametrize(
    ("text", "written"), [("90s", "90s"), ("60s", "1m"), ("500ms", "500ms"), ("48h", "2d"), ("1500ms", "1500ms")]
)
def test_spans_are_written_in_the_largest_unit_that_fits(text: str, written: str) -> None:
    assert OnFailure.model_validate({"delay": text}).model_dump(mode="json")["delay"] == written


@pytest.mark.parametrize("text", ["5", "", "5 m", "-5m", "0s", "367d", 5, "1.5h"])
def test_what_is_no_span_of_time_is_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        OnFailure.model_validate({"delay": text})


def test_the_version_of_a_rule_differs_once_anything_differs() -> None:
    spec = {"name": "a", "on": ["lab.file.arrived.v1"], "run": {"deployment": "f/d"}}
    versions = {
        Rule.of(RuleSpec.model_validate(spec | more), "x").version
        for more in ({}, {"where": "false"}, {"limits": {"active": 1}}, {"description": "other"})
    }
    assert len(versions) == 4
    assert Rule.of(RuleSpec.model_validate(spec), "x").version == Rule.of(RuleSpec.model_validate(spec), "y").version
