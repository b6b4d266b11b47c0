"""States of Prefect runs as events of the lab: pure. Whether they are due or out is not known here."""

from __future__ import annotations

import json

from schemas import runs
from schemas.envelope import Event, EventData, event_id, new_event
from services.bridge.decisions import CORRELATION_TAG, EVENT_TAG
from services.bridge.prefect_history import FlowRun, State

SOURCE = "/prefect"
_BY_TYPE: dict[str, type[EventData]] = {
    "SCHEDULED": runs.RunScheduled,
    "RUNNING": runs.RunStarted,
    "COMPLETED": runs.RunCompleted,
    "FAILED": runs.RunFailed,
    "CRASHED": runs.RunCrashed,
    "CANCELLED": runs.RunCancelled,
}
FINAL = frozenset(("COMPLETED", "FAILED", "CRASHED", "CANCELLED"))
_LONGEST_MESSAGE = 4000
_LONGEST_ID = 2048
_MOST_PARAMETERS = 200_000  # characters of JSON; Kafka refuses records over 1 MiB


def model_of(state_type: str, state_name: str) -> type[EventData] | None:
    """The event type of a state; None for states of which nobody is told (Pending, Paused, Cancelling)."""
    if state_type == "SCHEDULED" and state_name == "Late":
        return runs.RunLate
    return _BY_TYPE.get(state_type)


def state_event_id(run_id: str, state_id: str) -> str:
    """The deterministic id of the event of a state."""
    return event_id("run-state", run_id, state_id)


def state_event(run: FlowRun, state: State, flow: str, deployment: str | None) -> Event | None:
    """The event of a state of this run, or None where the state has no event type."""
    model = model_of(state.type, state.name)
    if model is None:
        return None
    ended = state.type in FINAL
    # The run is read later than the state was: what was not yet true then is left out.
    started = run.start_time is not None and run.start_time <= state.timestamp
    data = model.model_validate(
        {
            "run_id": run.id,
            "run_name": run.name,
            "flow": flow,
            "deployment": deployment,
            "state_id": state.id,
            "state_type": state.type,
            "state_name": state.name,
            "message": (state.message or "")[:_LONGEST_MESSAGE] or None,
            "occurred_at": state.timestamp,
            "start_time": run.start_time if started or ended else None,
            "end_time": run.end_time if ended else None,
            "duration_s": max(0.0, run.total_run_time) if ended else None,
            "due_at": run.expected_start_time,
            "attempts": run.run_count if started or ended else None,
            "parameters": run.parameters if len(json.dumps(run.parameters)) <= _MOST_PARAMETERS else {},
            "tags": run.tags,
        }
    )
    return new_event(
        data,
        source=SOURCE,
        id=state_event_id(run.id, state.id),
        time=state.timestamp,
        causationid=_tag(run, EVENT_TAG),
        correlationid=_tag(run, CORRELATION_TAG),
    )


def _tag(run: FlowRun, prefix: str) -> str | None:
    # Anybody may tag a run; a value that no event can carry must not hold up the states of all other runs.
    values = (tag.removeprefix(prefix) for tag in run.tags if tag.startswith(prefix))
    return next((value for value in values if 0 < len(value) <= _LONGEST_ID), None)
