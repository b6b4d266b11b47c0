"""`/v1/alerts` and `/v1/ledger`: each alert with what became of its deliveries, and the balance of everything."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from datalab.runtime.web import Problem
from datalab.store.tables.notifier import AlertRow
from services.notifier.api.pages import Key, PageSize, PageToken, position_of, token_for
from services.notifier.explanation import Explanation, explain
from services.notifier.in_force import NotifyInForce
from services.notifier.records import STATUSES, Records


class AlertView(BaseModel):
    """One episode of an alert; deliveries are counted by status."""

    episode: str
    fingerprint: str
    rule: str
    severity: str
    status: Literal["firing", "resolved"]
    summary: str
    labels: dict[str, str]
    starts_at: datetime
    ends_at: datetime | None
    correlation_id: str
    firing_event_id: str | None
    resolved_event_id: str | None
    acked_by: str | None
    acked_at: datetime | None
    ack_comment: str | None
    deliveries: dict[str, int]
    updated_at: datetime


class AlertPage(BaseModel):
    """One page, the last changed first."""

    alerts: list[AlertView]
    next_page_token: str | None


class Balance(BaseModel):
    """due = delivered + pending + suppressed + dead."""

    due: int = 0
    delivered: int = 0
    pending: int = 0
    suppressed: int = 0
    dead: int = 0


class LedgerView(Balance):
    """The balance of all deliveries, and of each channel; `none` are alerts that no route matched."""

    balanced: bool = Field(description="Whether the sum holds, in total and by channel")
    channels: dict[str, Balance]


def router(records: Records, in_force: NotifyInForce) -> APIRouter:
    """The router of these operations."""
    api = APIRouter(prefix="/v1", tags=["alerts"])

    @api.get("/alerts", summary="Alerts and what became of their deliveries, the last changed first")
    async def alerts(
        status: Literal["firing", "resolved"] | None = None,
        page_size: PageSize = 100,
        page_token: PageToken = None,
    ) -> AlertPage:
        rows = await records.alerts(status, position_of(page_token), page_size + 1)
        last = rows[page_size - 1] if len(rows) > page_size else None
        shown = rows[:page_size]
        ids = [e for row in shown for e in (row.firing_event_id, row.resolved_event_id) if e]
        tallies = await records.tallies(ids)
        return AlertPage(
            alerts=[alert_view(row, tallies) for row in shown],
            next_page_token=token_for(last.updated_at, last.episode) if last else None,
        )

    @api.get("/alerts/{key}/explanation", summary="Which routes an alert takes, who is told, who is not, and why")
    async def explanation(key: Key) -> Explanation:
        found = await records.judged(key, in_force.config)
        if found is None:
            raise unknown_alert(key)
        return explain(found[0], in_force.routing, found[1])

    @api.get("/ledger", summary="Whether the books balance")
    async def ledger() -> LedgerView:
        channels = {channel: Balance(**counts) for channel, counts in (await records.ledger()).items()}
        totals = {name: sum(getattr(b, name) for b in channels.values()) for name in Balance.model_fields}
        return LedgerView(
            **totals, channels=channels, balanced=all(map(_balanced, (*channels.values(), Balance(**totals))))
        )

    return api


def unknown_alert(key: str) -> Problem:
    """Nothing has that key."""
    return Problem(404, "Unknown alert", f"no alert has the fingerprint or episode {key!r}; see GET /v1/alerts")


def _balanced(balance: Balance) -> bool:
    return balance.due == balance.delivered + balance.pending + balance.suppressed + balance.dead


def alert_view(row: AlertRow, tallies: dict[str, dict[str, int]]) -> AlertView:
    """The alert as it is shown, with what became of its deliveries."""
    fields = {name: getattr(row, name) for name in AlertView.model_fields if name != "deliveries"}
    counts = dict.fromkeys(STATUSES, 0)
    for event in (row.firing_event_id, row.resolved_event_id):
        for status, count in tallies.get(event or "", {}).items():
            counts[status] += count
    return AlertView(**fields, deliveries=counts)
