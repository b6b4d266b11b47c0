"""What Prefect's own events say of a run's states: pure. The same JSON comes from Kafka and from REST."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

_RESOURCE = "prefect.flow-run."


class Change(NamedTuple):
    """A run came into a state, says an event. Prefect emits it before it commits: a hint, until the run confirms it.

    `at` is the state's own time; `follows` the state before, which Prefect tells only where that was minutes ago at
    most; `first` says that there was none before.
    """

    run_id: str
    state_id: str
    state_type: str
    state_name: str
    at: datetime
    message: str | None = None
    follows: str | None = None
    first: bool = False


def change_of(event: Mapping[str, Any]) -> Change | None:
    """The change that an event tells of; None for an event of something else. Prefect gives a state's event the id of
    the state; events of runs that are no states have no type. Raises LookupError, TypeError or ValueError for what is
    no event of Prefect."""
    resource = event["resource"]
    if "prefect.state-type" not in resource or not resource["prefect.resource.id"].startswith(_RESOURCE):
        return None
    return Change(
        run_id=resource["prefect.resource.id"].removeprefix(_RESOURCE),
        state_id=str(event["id"]),
        state_type=resource["prefect.state-type"],
        state_name=resource.get("prefect.state-name") or "",
        at=datetime.fromisoformat(resource.get("prefect.state-timestamp") or event["occurred"]),
        message=resource.get("prefect.state-message") or None,
        follows=event.get("follows"),
        first=_is_first(event.get("payload")),
    )


def _is_first(payload: Any) -> bool:
    return isinstance(payload, dict) and "initial_state" in payload and payload["initial_state"] is None
