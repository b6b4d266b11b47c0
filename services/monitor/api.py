"""REST: alerts, flows and runs, read-only. Newest first, paged by `page_size` and `page_token`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from datalab.runtime.clock import Clock
from datalab.store.engine import Sessions
from schemas.alerts import Severity
from services.monitor import history
from services.monitor.paging import Place, from_token, to_token

PageSize = Annotated[int, Query(ge=1, le=500)]


class Alert(BaseModel):
    """One episode of an alert."""

    model_config = ConfigDict(from_attributes=True)

    episode: str
    fingerprint: str
    rule: str
    severity: Severity
    status: Literal["firing", "resolved"]
    summary: str
    description: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: datetime
    ends_at: datetime | None


class Alerts(BaseModel):
    """A page of alerts."""

    alerts: list[Alert]
    next_page_token: str | None = None


class Run(BaseModel):
    """A run by its newest known state."""

    model_config = ConfigDict(from_attributes=True)

    run_id: str
    run_name: str
    flow: str
    deployment: str | None
    state_type: str
    state_name: str
    message: str | None
    occurred_at: datetime
    start_time: datetime | None
    end_time: datetime | None
    duration_s: float | None


class Runs(BaseModel):
    """A page of runs."""

    runs: list[Run]
    next_page_token: str | None = None


class Duration(BaseModel):
    """Seconds in state Running, of the runs that ended in the last seven days."""

    mean_s: float | None
    p50_s: float | None
    p90_s: float | None
    p95_s: float | None
    p99_s: float | None


class Flow(BaseModel):
    """One flow by one deployment. Counts are of runs that ended in the last hour, day and seven days."""

    flow: str
    deployment: str | None
    last_run_id: str
    last_state: str
    last_state_type: str
    last_state_at: datetime
    runs_hour: int
    runs_day: int
    runs_week: int
    success_rate: float | None = Field(description="Completed among completed, failed and crashed, of the last 7 days")
    duration: Duration


class Flows(BaseModel):
    """Every flow that is known."""

    flows: list[Flow]


def routes(sessions: Sessions, clock: Clock) -> APIRouter:
    """The endpoints below /v1."""
    router = APIRouter(prefix="/v1", tags=["monitor"])

    @router.get("/alerts", summary="Alerts, the newest first")
    async def list_alerts(
        status: Literal["firing", "resolved"] | None = None,
        rule: str | None = None,
        severity: Severity | None = None,
        page_size: PageSize = 100,
        page_token: str | None = None,
    ) -> Alerts:
        after = from_token(page_token) if page_token else None
        async with sessions() as session:
            rows = await history.alerts(
                session, status=status, rule=rule, severity=severity, after=after, limit=page_size + 1
            )
        token = _next([Place(row.starts_at, row.episode) for row in rows], page_size)
        return Alerts(alerts=[Alert.model_validate(row) for row in rows[:page_size]], next_page_token=token)

    @router.get("/runs", summary="Runs, the newest state first")
    async def list_runs(
        deployment: str | None = None,
        state: str | None = None,
        page_size: PageSize = 100,
        page_token: str | None = None,
    ) -> Runs:
        after = from_token(page_token) if page_token else None
        async with sessions() as session:
            rows = await history.recent_runs(
                session, deployment=deployment, state=state, after=after, limit=page_size + 1
            )
        token = _next([Place(row.occurred_at, row.run_id) for row in rows], page_size)
        return Runs(runs=[Run.model_validate(row) for row in rows[:page_size]], next_page_token=token)

    @router.get("/flows", summary="Runs, success and duration per flow and deployment")
    async def list_flows() -> Flows:
        async with sessions() as session:
            return Flows(flows=[Flow.model_validate(flow) for flow in await history.flows(session, clock.now())])

    return router


def _next(places: Sequence[Place], page_size: int) -> str | None:
    """The token of the next page; one entry more than a page shows that there is one."""
    return to_token(places[page_size - 1]) if len(places) > page_size else None
