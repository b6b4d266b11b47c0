"""`/v1/flows` and `/v1/summary`: figures of runs and alerts."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from datalab.runtime.clock import Clock
from datalab.store.engine import Sessions
from schemas.alerts import Severity
from services.monitor import inventory, statistics


class Seconds(BaseModel):
    """Of the runs that ended in the last seven days, null where none is known."""

    mean_s: float | None
    p50_s: float | None
    p90_s: float | None
    p95_s: float | None
    p99_s: float | None


class Windows(BaseModel):
    """Counts of the last hour, day and seven days."""

    hour: int
    day: int
    week: int


class Cpu(BaseModel):
    """CPU seconds of those runs, where they were measured."""

    mean_s: float | None
    max_s: float | None


class Memory(BaseModel):
    """Peak memory of those runs, where it was measured."""

    mean_bytes: float | None
    max_bytes: float | None


class Flow(BaseModel):
    """One flow by one deployment, or by all of them. Counts are of runs that ended in the last hour, day, 7 days."""

    flow: str
    deployment: str | None
    last_run_id: str
    last_state: str
    last_state_type: str
    last_state_at: datetime
    running_now: int
    runs_hour: int
    runs_day: int
    runs_week: int
    success_rate: float | None = Field(description="Completed among completed, failed and crashed, of the last 7 days")
    duration: Seconds = Field(description="In state Running, in total")
    queue: Seconds = Field(description="From when the flow's code was to begin until it began")
    retries: Windows = Field(description="Of the runs that ended then, how often the code began again")
    cpu: Cpu
    memory_peak: Memory


class Flows(BaseModel):
    """Every flow that is known."""

    flows: list[Flow]


class AlertTotals(BaseModel):
    """Alerts firing now by severity, and those that began in each window."""

    open: dict[Severity, int]
    fired: Windows


class ServiceTotals(BaseModel):
    """Services by status."""

    ok: int
    degraded: int


class Summary(BaseModel):
    """Totals of the lab."""

    at: datetime
    runs: Windows
    running_now: int
    success_rate: float | None
    duration: Seconds
    queue: Seconds
    retries: Windows
    cpu: Cpu
    memory_peak: Memory
    alerts: AlertTotals
    services: ServiceTotals


def router(sessions: Sessions, clock: Clock) -> APIRouter:
    """The router of these operations."""
    api = APIRouter(prefix="/v1", tags=["flows"])

    @api.get("/flows", summary="Runs, success, duration, CPU and memory per flow and deployment")
    async def list_flows(by: statistics.By = "deployment") -> Flows:
        async with sessions() as session:
            found = await statistics.flows(session, clock.now(), by)
        return Flows(flows=[Flow.model_validate(flow) for flow in found])

    @api.get("/summary", summary="Totals of the lab")
    async def summary() -> Summary:
        now = clock.now()
        async with sessions() as session:
            services = [service["status"] for service in await inventory.services(session)]
            alerts = {
                "open": await inventory.open_alerts(session),
                "fired": await inventory.alerts_fired(session, now),
            }
            totals = await statistics.totals(session, now)
        counts = {status: services.count(status) for status in ("ok", "degraded")}
        return Summary.model_validate({"at": now, **totals, "alerts": alerts, "services": counts})

    return api
