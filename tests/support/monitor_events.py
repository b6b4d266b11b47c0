"""Events that the monitor watches. Everything has a default, so that a test names only what matters to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from schemas.envelope import Event, new_event
from schemas.metrics import MetricSampled
from schemas.quality import QualityFailed, QualityPassed, RuleResult
from schemas.runs import RunCancelled, RunCompleted, RunCrashed, RunFailed, RunScheduled, RunStarted
from schemas.services import ServiceDegraded, ServiceRecovered

_STATES = {
    RunScheduled: ("SCHEDULED", "AwaitingRetry"),
    RunCompleted: ("COMPLETED", "Completed"),
    RunFailed: ("FAILED", "Failed"),
    RunCrashed: ("CRASHED", "Crashed"),
    RunCancelled: ("CANCELLED", "Cancelled"),
    RunStarted: ("RUNNING", "Running"),
}
State = type[RunScheduled | RunCompleted | RunFailed | RunCrashed | RunCancelled | RunStarted]


def quality_failed(dataset: str, *, time: datetime | None = None, **data: Any) -> Event:
    """Three of ten rows broke `price_positive`."""
    broken = RuleResult(name="price_positive", severity="quarantine", expression="close > 0", failed_rows=3)
    held = RuleResult(name="date_present", severity="fail", expression="date IS NOT NULL", failed_rows=0)
    fields = {"run_id": "run-1", "rows_failed": 3, "rules": [broken, held], **data}
    return _event(QualityFailed(dataset=dataset, **_CHECKED, **fields), time)


def quality_passed(dataset: str, *, time: datetime | None = None) -> Event:
    """Every rule held."""
    return _event(QualityPassed(dataset=dataset, run_id="run-2", rows_failed=0, rules=[], **_CHECKED), time)


def run_event(
    model: State,
    *,
    run: str = "run-1",
    flow: str = "etl",
    deployment: str | None = "etl/daily",
    time: datetime | None = None,
    **data: Any,
) -> Event:
    """A state of a run, at `time`."""
    time = time or datetime.now(UTC)
    state_type, state_name = _STATES[model]
    fields = {"run_name": f"brave-{run}", "state_id": f"{run}-{state_type}-{time}", "occurred_at": time, **data}
    state = model(run_id=run, flow=flow, deployment=deployment, state_type=state_type, state_name=state_name, **fields)
    return _event(state, time)


def degraded(service: str, check: str = "answers", *, since: datetime | None = None) -> Event:
    """A check of the service fails."""
    since = since or datetime.now(UTC)
    return _event(ServiceDegraded(service=service, check=check, reason="no answer within 5 s", since=since), None)


def recovered(service: str, check: str = "answers") -> Event:
    """It passes again."""
    return _event(ServiceRecovered(service=service, check=check, reason="ok", since=datetime.now(UTC)), None)


def measured(of: str, name: str, value: float, *, time: datetime | None = None, **labels: str) -> Event:
    """One measurement."""
    return _event(MetricSampled(of=of, name=name, value=value, unit="1", labels=labels), time)


_CHECKED: dict[str, Any] = {
    "table": "/lake/silver/stocks",
    "source_uri": "file:///landing/a%20b.csv",
    "rows_checked": 10,
}


def _event(data: Any, time: datetime | None) -> Event:
    return new_event(data, source="tests", correlationid="the-file", time=time or datetime.now(UTC))
