"""What a run cost: CPU seconds and peak memory of its process, published as `lab.metric.sampled.v1` when it ends.

A hook of every flow. A run's process runs nothing else, so the process's figures are the run's; a flow that is called
as a plain function reports those of its caller. Losing a measurement never fails a run.
"""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING, Any

from flows.config import FlowSettings
from flows.runs import trace_from
from schemas.envelope import Event
from schemas.metrics import RUN_CPU, RUN_MEMORY_PEAK, MetricSampled

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun, State

SOURCE = "/flows/usage"


def report_usage(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The hook, called by Prefect with arguments of these names: publish both figures, acknowledged, under ids that
    follow from the run. `state`, the run's last, does not matter here."""
    from prefect import get_run_logger

    from datalab.bus.publisher import SyncPublisher

    try:
        with SyncPublisher(FlowSettings().kafka_bootstrap_servers, "flows.usage") as publisher:
            for event in usage_events(str(flow_run.id), flow.name, flow_run.tags):
                publisher.publish(event)
    except Exception as error:  # a run that did its work must not fail for want of a measurement
        get_run_logger().warning("the run's CPU and memory were not reported: %s", error)


def usage_events(run_id: str, flow: str, tags: list[str]) -> list[Event]:
    """CPU seconds and peak memory of this process so far, children included."""
    trace = trace_from(run_id, tags)
    labels = {"run_id": run_id, "flow": flow}
    figures = ((RUN_CPU, cpu_seconds(), "s"), (RUN_MEMORY_PEAK, peak_memory_bytes(), "By"))
    return [
        trace.event(SOURCE, MetricSampled(of=flow, name=name, value=value, unit=unit, labels=labels), run_id, name)
        for name, value, unit in figures
    ]


def cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_memory_bytes() -> float:
    """The largest resident set of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


# Not on cancellation: that hook may be called by the worker, whose figures are not the run's.
HOOKS: dict[str, Any] = {"on_completion": [report_usage], "on_failure": [report_usage]}
