"""`/v1/alerts/{key}:acknowledge`: somebody takes an alert on, or gives it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from datalab.runtime.web import Problem
from datalab.store.tables.notifier import AlertRow
from services.notifier.acknowledgements import Acknowledgements
from services.notifier.api.alerts import AlertView, alert_view, unknown_alert
from services.notifier.api.pages import Key, Person
from services.notifier.records import Records


class Acknowledgement(BaseModel):
    """Who takes the alert on."""

    model_config = ConfigDict(extra="forbid")

    author: Person
    comment: Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")] = ""


def router(acknowledgements: Acknowledgements, records: Records, wake: Callable[[], None]) -> APIRouter:
    """The router of these operations; `key` is an episode, or a fingerprint for its newest."""
    api = APIRouter(prefix="/v1/alerts", tags=["alerts"])

    @api.post("/{key}:acknowledge", summary="Take it on: it is not told again and not escalated")
    async def acknowledge(key: Key, who: Acknowledgement) -> AlertView:
        row = await acknowledgements.take(key, who.author.strip(), who.comment.strip())
        if row is None:
            raise unknown_alert(key)
        if row.status != "firing":
            raise Problem(409, "Alert is over", f"it ended at {row.ends_at}; there is nothing to take on")
        return await _shown(row)

    @api.post("/{key}:unacknowledge", summary="Give it back: it is told again in its turn")
    async def unacknowledge(key: Key) -> AlertView:
        row = await acknowledgements.give_back(key)
        if row is None:
            raise unknown_alert(key)
        wake()
        return await _shown(row)

    async def _shown(row: AlertRow) -> AlertView:
        events = [event for event in (row.firing_event_id, row.resolved_event_id) if event]
        return alert_view(row, await records.tallies(events))

    return api
