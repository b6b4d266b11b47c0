"""How Prefect's states become events of the lab."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.catalog import parse_data
from schemas.envelope import Event, event_id
from schemas.runs import RunCompleted
from services.bridge.prefect_history import FlowRun, State
from services.bridge.relay_states import FINAL, model_of, state_event

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def run(**more: Any) -> FlowRun:
    tags = ["x", "datalab.event=e=1", "datalab.correlation=c1", "datalab.rule=r"]
    return FlowRun.model_validate({"id": "run1", "name": "nice-name", "flow_id": "f", "tags": tags} | more)


def told(type_: str, name: str, of: FlowRun | None = None, message: str | None = None, at: float = 0) -> Event | None:
    state = State(id="s1", type=type_, name=name, timestamp=T0 + timedelta(seconds=at), message=message)
    return state_event(of or run(), state, "flow", "flow/dep")


@pytest.mark.parametrize(
    ("type_", "name", "event_type"),
    [
        ("SCHEDULED", "Scheduled", "lab.run.scheduled.v1"),
        ("SCHEDULED", "AwaitingRetry", "lab.run.scheduled.v1"),
        ("SCHEDULED", "Late", "lab.run.late.v1"),
        ("RUNNING", "Running", "lab.run.started.v1"),
        ("RUNNING", "Retrying", "lab.run.started.v1"),
        ("COMPLETED", "My own end", "lab.run.completed.v1"),
        ("FAILED", "TimedOut", "lab.run.failed.v1"),
        ("CRASHED", "Crashed", "lab.run.crashed.v1"),
        ("CANCELLED", "Cancelled", "lab.run.cancelled.v1"),
    ],
)
def test_each_state_has_its_event_type(type_: str, name: str, event_type: str) -> None:
    event = told(type_, name)
    assert event is not None
    assert (event.type, event.time, event.subject) == (event_type, T0, "run1")
    assert event.data["state_name"] == name


@pytest.mark.parametrize("type_", ["PENDING", "PAUSED", "CANCELLING"])
def test_states_of_which_nobody_is_told(type_: str) -> None:
    assert told(type_, type_.title()) is None


def test_every_final_state_has_an_event() -> None:
    assert all(model_of(type_, "") is not None for type_ in FINAL)


def test_the_id_follows_from_run_and_state_and_the_trace_from_the_tags() -> None:
    event = told("RUNNING", "Running")
    assert event is not None
    assert event.id == event_id("run-state", "run1", "s1")
    assert (event.source, event.causationid, event.correlationid) == ("/prefect", "e=1", "c1")


def test_a_run_without_our_tags_has_no_cause() -> None:
    event = told("RUNNING", "Running", run(tags=["datalab.event="]))
    assert event is not None
    assert (event.causationid, event.correlationid) == (None, None)


def test_a_tag_that_no_event_can_carry_does_not_hold_up_the_run() -> None:
    event = told("RUNNING", "Running", run(tags=["datalab.event=" + "x" * 2049, "datalab.correlation=" + "y" * 2048]))
    assert event is not None
    assert (event.causationid, event.correlationid) == (None, "y" * 2048)


def test_an_end_carries_times_duration_and_a_short_message() -> None:
    ended = run(start_time=T0, end_time=T0 + timedelta(seconds=3), total_run_time=2.5, parameters={"n": 1})
    event = told("COMPLETED", "Completed", ended, message="m" * 5000, at=3)
    assert event is not None
    data = parse_data(event)
    assert isinstance(data, RunCompleted)
    assert (data.start_time, data.end_time, data.duration_s) == (T0, T0 + timedelta(seconds=3), 2.5)
    assert (data.parameters, data.deployment, len(data.message or "")) == ({"n": 1}, "flow/dep", 4000)


def test_a_state_read_late_does_not_tell_what_came_after_it() -> None:
    ended = run(start_time=T0 + timedelta(seconds=1), end_time=T0 + timedelta(seconds=3), total_run_time=2.0)
    event = told("SCHEDULED", "Scheduled", ended)
    assert event is not None
    assert not {"start_time", "end_time", "duration_s"} & event.data.keys()


def test_parameters_too_large_for_a_record_are_left_out() -> None:
    event = told("RUNNING", "Running", run(parameters={"x": "y" * 300_000}))
    assert event is not None
    assert event.data["parameters"] == {}
