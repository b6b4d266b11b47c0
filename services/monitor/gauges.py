"""The figures of the REST interface as Prometheus gauges, read from Postgres now and then, the same on every instance.

Series are bounded: the first 200 deployments by name, the rest only in the totals; the first 100 services. A figure
that is not known has no series.
"""

from __future__ import annotations

from typing import Any

from prometheus_client import Gauge

from datalab.runtime.clock import Clock
from datalab.store.engine import Sessions
from services.monitor import inventory, statistics

_MOST_FLOWS, _MOST_SERVICES = 200, 100
_QUANTILES = {name: str(quantile) for name, quantile in statistics.QUANTILES.items()}

RUNS = Gauge("datalab_monitor_runs", "Runs that ended in the last hour, day, week", ["deployment", "window"])
RUNS_IN_ALL = Gauge("datalab_monitor_runs_in_all", "The same of all deployments", ["window"])
RUNNING = Gauge("datalab_monitor_running_runs", "Runs that run now", ["deployment"])
SUCCESS = Gauge("datalab_monitor_run_success_ratio", "Completed among ended runs of the last week", ["deployment"])
DURATION = Gauge(
    "datalab_monitor_run_duration_quantile_seconds", "Duration of the last week's runs", ["deployment", "quantile"]
)
DURATION_MEAN = Gauge("datalab_monitor_run_duration_mean_seconds", "Mean of the last week's runs", ["deployment"])
QUEUE = Gauge(
    "datalab_monitor_run_queue_quantile_seconds",
    "From when the last week's runs were to begin until they began",
    ["deployment", "quantile"],
)
RETRIES = Gauge("datalab_monitor_run_retries", "Retries of the runs that ended in that time", ["deployment", "window"])
CPU = Gauge("datalab_monitor_run_cpu_seconds", "CPU of the last week's runs: mean, max", ["deployment", "stat"])
MEMORY = Gauge(
    "datalab_monitor_run_memory_peak_bytes", "Memory of the last week's runs: mean, max", ["deployment", "stat"]
)
ALERTS_FIRED = Gauge("datalab_monitor_alerts_fired", "Alerts that began in the last hour, day, week", ["window"])
SERVICE_UP = Gauge("datalab_monitor_service_up", "1 unless a check of the service fails", ["service"])
SERVICE_CPU = Gauge("datalab_monitor_service_cpu_seconds", "CPU since the service began", ["service"])
SERVICE_MEMORY = Gauge("datalab_monitor_service_memory_bytes", "Resident memory", ["service"])

_BY_FLOW = (RUNS, RUNNING, SUCCESS, DURATION, DURATION_MEAN, QUEUE, RETRIES, CPU, MEMORY)
_BY_SERVICE = (SERVICE_UP, SERVICE_CPU, SERVICE_MEMORY)


class Gauges:
    """Refreshes them all; what is gone from Postgres is gone from the metrics."""

    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        self._sessions, self._clock = sessions, clock

    async def refresh(self) -> None:
        """Read the figures and set them."""
        now = self._clock.now()
        async with self._sessions() as session:
            flows = await statistics.flows(session, now)
            totals = await statistics.totals(session, now)
            fired = await inventory.alerts_fired(session, now)
            services = await inventory.services(session)
        for gauge in (*_BY_FLOW, *_BY_SERVICE):
            gauge.clear()
        for flow in sorted(flows, key=_name)[:_MOST_FLOWS]:
            _show_flow(flow)
        for service in services[:_MOST_SERVICES]:
            _show_service(service)
        for window in ("hour", "day", "week"):
            RUNS_IN_ALL.labels(window).set(totals["runs"][window])
            ALERTS_FIRED.labels(window).set(fired[window])


def _name(flow: dict[str, Any]) -> str:
    return str(flow["deployment"] or flow["flow"])


def _show_flow(flow: dict[str, Any]) -> None:
    name = _name(flow)
    for window in ("hour", "day", "week"):
        _show(RUNS, flow[f"runs_{window}"], name, window)
        _show(RETRIES, flow["retries"][window], name, window)
    _show(RUNNING, flow["running_now"], name)
    _show(SUCCESS, flow["success_rate"], name)
    _show(DURATION_MEAN, flow["duration"]["mean_s"], name)
    for field, quantile in _QUANTILES.items():
        _show(DURATION, flow["duration"][field], name, quantile)
        _show(QUEUE, flow["queue"][field], name, quantile)
    for stat in ("mean", "max"):
        _show(CPU, flow["cpu"][f"{stat}_s"], name, stat)
        _show(MEMORY, flow["memory_peak"][f"{stat}_bytes"], name, stat)


def _show_service(service: dict[str, Any]) -> None:
    name = service["service"]
    _show(SERVICE_UP, service["status"] == "ok", name)
    _show(SERVICE_CPU, service["cpu_seconds"], name)
    _show(SERVICE_MEMORY, service["memory_bytes"], name)


def _show(gauge: Gauge, value: float | None, *labels: str) -> None:
    if value is not None:
        gauge.labels(*labels).set(value)
