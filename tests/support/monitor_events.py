"""Events that the monitor watches. Everything has a default, so that a test names only what matters to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from schemas.envelope import Event, new_event
from schemas.quality import QualityFailed, QualityPassed, RuleResult
from schemas.runs import RunCompleted, RunFailed, RunStarted

_STATES = {
    RunCompleted: ("COMPLETED", "Completed"),
    RunFailed: ("FAILED", "Failed"),
    RunStarted: ("RUNNING", "Running"),
}


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
    model: type[RunCompleted | RunFailed | RunStarted],
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
    fields = {"run_name": f"brave-{run}", "state_id": f"{run}-{state_type}", "occurred_at": time, **data}
    state = model(run_id=run, flow=flow, deployment=deployment, state_type=state_type, state_name=state_name, **fields)
    return _event(state, time)


_CHECKED: dict[str, Any] = {
    "table": "/lake/silver/stocks",
    "source_uri": "file:///landing/a%20b.csv",
    "rows_checked": 10,
}


def _event(data: Any, time: datetime | None) -> Event:
    return new_event(data, source="tests", correlationid="the-file", time=time or datetime.now(UTC))
