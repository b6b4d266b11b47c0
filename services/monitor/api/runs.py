"""`/v1/runs` and their histogram."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from datalab.runtime.clock import Clock
from datalab.runtime.web import Problem
from datalab.store.engine import Sessions
from services.monitor import histogram as histograms
from services.monitor import history
from services.monitor.api.pages import PageSize, PageToken, next_token, place_of
from services.monitor.paging import Place

Period = Literal["hour", "day", "week"]


class Run(BaseModel):
    """A run by its newest known state."""

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
    due_at: datetime | None = Field(description="When the flow's code was to begin")
    attempts: int | None = Field(description="How often it has begun, retries included")
    cpu_seconds: float | None
    memory_peak_bytes: float | None
    limit_s: float | None = Field(description="The limit that the run has exceeded; none if it has not")
    event_id: str | None = Field(description="The event that told this state")
    correlation_id: str | None = Field(description="The chain that this event belongs to")


class Runs(BaseModel):
    """A page of runs."""

    runs: list[Run]
    next_page_token: str | None = None


class RunCount(BaseModel):
    """Runs of one bucket that ended in one state."""

    start: datetime
    flow: str
    deployment: str | None
    state_type: str
    runs: int


class Histogram(BaseModel):
    """Ended runs over time. `counts` leaves empty buckets out; `starts` are all."""

    period: Period
    bucket_s: float
    since: datetime
    until: datetime
    starts: list[datetime]
    counts: list[RunCount]


def router(sessions: Sessions, clock: Clock) -> APIRouter:
    """The router of these operations."""
    api = APIRouter(prefix="/v1", tags=["runs"])

    @api.get("/runs", summary="Runs, the newest state first")
    async def list_runs(
        flow: str | None = None,
        deployment: str | None = None,
        state: Annotated[str | None, Query(description="A state type of Prefect, such as RUNNING")] = None,
        since: AwareDatetime | None = None,
        until: AwareDatetime | None = None,
        page_size: PageSize = 100,
        page_token: PageToken = None,
    ) -> Runs:
        if since is not None and until is not None and until <= since:
            raise Problem(422, "Invalid request", "until: must be later than since")
        after, wanted = place_of(page_token), history.RunFilter(flow, deployment, state, since, until)
        async with sessions() as session:
            rows = await history.recent_runs(session, wanted, after=after, limit=page_size + 1)
        token = next_token([Place(row["occurred_at"], row["run_id"]) for row in rows], page_size)
        return Runs(runs=[Run.model_validate(row) for row in rows[:page_size]], next_page_token=token)

    @api.get("/runs/histogram", summary="Ended runs of the last hour, day or seven days, in buckets")
    async def histogram(period: Period = "day", flow: str | None = None, deployment: str | None = None) -> Histogram:
        now = clock.now()
        async with sessions() as session:
            found = await histograms.histogram(session, period, now, flow=flow, deployment=deployment)
        return Histogram(
            period=period,
            bucket_s=found.bucket.total_seconds(),
            since=found.since,
            until=now,
            starts=found.starts,
            counts=[RunCount.model_validate(count) for count in found.counts],
        )

    return api
