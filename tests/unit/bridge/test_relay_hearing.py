"""What the relay makes of Prefect's events: hints, until the run itself confirms them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.bridge.prefect_events import Change, change_of
from services.bridge.prefect_history import FlowRun
from services.bridge.relay_hearing import Verdict, judge

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def run(state_id: str | None) -> FlowRun:
    return FlowRun(id="r", name="n", flow_id="f", state_id=state_id)


def change(state_id: str, follows: str | None = None, *, first: bool = False) -> Change:
    return Change("r", state_id, "RUNNING", "Running", T0, follows=follows, first=first)


SCHEDULED, PENDING, RUNNING = change("s", first=True), change("p", "s"), change("x", "p")


@pytest.mark.parametrize(
    ("now", "heard", "settled", "verdict"),
    [
        ("s", [SCHEDULED], "", Verdict.CONFIRMED),
        ("x", [SCHEDULED, PENDING, RUNNING], "", Verdict.CONFIRMED),
        ("x", [RUNNING], "p", Verdict.CONFIRMED),
        # What came before was not heard, or one between.
        ("x", [RUNNING], "", Verdict.READ),
        ("x", [SCHEDULED, RUNNING], "", Verdict.READ),
        # Its predecessor was minutes ago, so that Prefect does not name it.
        ("z", [change("z")], "s", Verdict.READ),
        # The transaction is still open.
        ("s", [PENDING], "s", Verdict.LATER),
        ("s", [SCHEDULED, PENDING], "", Verdict.LATER),
        ("p", [RUNNING], "", Verdict.LATER),
        # The run has gone on.
        ("z", [SCHEDULED], "", Verdict.READ),
        (None, [SCHEDULED], "", Verdict.LATER),
    ],
)
def test_what_was_heard_counts_when_the_run_agrees_and_nothing_lies_between(
    now: str | None, heard: list[Change], settled: str, verdict: Verdict
) -> None:
    assert judge(run(now), heard, lambda id_: id_ is not None and id_ == settled) is verdict


def test_a_run_that_is_not_there_yet_is_asked_about_again() -> None:
    assert judge(None, [SCHEDULED], lambda _: False) is Verdict.LATER


def event(**more: Any) -> dict[str, Any]:
    resource = {
        "prefect.resource.id": "prefect.flow-run.r",
        "prefect.state-type": "FAILED",
        "prefect.state-name": "TimedOut",
        "prefect.state-timestamp": "2026-01-01T00:00:00+00:00",
        "prefect.state-message": "too long",
    }
    payload = {"initial_state": {"type": "RUNNING"}, "validated_state": {}}
    return {
        "id": "s",
        "occurred": "2026-01-02T00:00:00Z",
        "resource": resource,
        "follows": "p",
        "payload": payload,
    } | more


def test_an_event_of_a_state_tells_the_state() -> None:
    assert change_of(event()) == Change("r", "s", "FAILED", "TimedOut", T0, "too long", "p", first=False)


def test_the_first_state_follows_none() -> None:
    told = change_of(event(payload={"initial_state": None}, follows=None))
    assert told is not None
    assert told.first


@pytest.mark.parametrize(
    "resource",
    [
        {"prefect.resource.id": "prefect.flow-run.r"},
        {"prefect.resource.id": "prefect.task-run.r", "prefect.state-type": "RUNNING"},
    ],
)
def test_events_of_other_things_tell_nothing(resource: dict[str, str]) -> None:
    assert change_of(event(resource=resource)) is None
