"""What a flow knows of its own Prefect run: its id, and the event behind it from the tags that the bridge sets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flows.config import retry_policy
from flows.errors import FlowError
from flows.trace import Trace

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

EVENT_TAG, CORRELATION_TAG = "datalab.event=", "datalab.correlation="


def current_trace() -> Trace:
    """The trace of the run that this code is in."""
    from prefect.runtime import flow_run

    return trace_from(flow_run.id, flow_run.tags or ())


def trace_from(run_id: str | None, tags: Iterable[str]) -> Trace:
    """A trace from a run's id and tags."""
    values = {
        prefix: next((tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix)), None)
        for prefix in (EVENT_TAG, CORRELATION_TAG)
    }
    return Trace(run_id=run_id, event_id=values[EVENT_TAG], correlation_id=values[CORRELATION_TAG])


def may_pass_later(_task: Any, _task_run: Any, state: State[Any]) -> bool:
    """Whether a failed task is worth its retries: what a flow calls permanent is not."""
    try:
        error = state.result(raise_on_failure=False)
    except Exception:  # without a readable result the seed's policy, to retry, holds
        return True
    return not isinstance(error, FlowError) or error.transient


def task_options() -> dict[str, Any]:
    """Arguments of `@task` for all tasks: the lab's retries, nothing cached, nothing kept."""
    from prefect.cache_policies import NO_CACHE

    return {**retry_policy(), "retry_condition_fn": may_pass_later, "cache_policy": NO_CACHE, "persist_result": False}
