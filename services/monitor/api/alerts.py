"""`/v1/alerts`: every alert there is or was."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from datalab.store.engine import Sessions
from schemas.alerts import Severity
from services.monitor import history
from services.monitor.api.pages import PageSize, PageToken, next_token, place_of
from services.monitor.paging import Place

Status = Literal["firing", "resolved"]


class Alert(BaseModel):
    """One episode of an alert."""

    model_config = ConfigDict(from_attributes=True)

    episode: str
    fingerprint: str
    rule: str
    severity: Severity
    status: Status
    summary: str
    description: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: datetime
    ends_at: datetime | None


class Counts(BaseModel):
    """How many match, on all pages."""

    firing: int = 0
    resolved: int = 0


class Alerts(BaseModel):
    """A page of alerts."""

    alerts: list[Alert]
    counts: Counts
    next_page_token: str | None = None


def router(sessions: Sessions) -> APIRouter:
    """The router of these operations."""
    api = APIRouter(prefix="/v1", tags=["alerts"])

    @api.get("/alerts", summary="Alerts, the newest first")
    async def list_alerts(
        status: Status | None = None,
        rule: str | None = None,
        severity: Severity | None = None,
        page_size: PageSize = 100,
        page_token: PageToken = None,
    ) -> Alerts:
        after, wanted = place_of(page_token), history.AlertFilter(status, rule, severity)
        async with sessions() as session:
            rows = await history.alerts(session, wanted, after=after, limit=page_size + 1)
            counts = await history.alert_counts(session, wanted)
        token = next_token([Place(row.starts_at, row.episode) for row in rows], page_size)
        shown = [Alert.model_validate(row) for row in rows[:page_size]]
        return Alerts(alerts=shown, counts=Counts(**counts), next_page_token=token)

    return api
