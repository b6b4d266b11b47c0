"""`/v1/deliveries`: what was due, what became of it, attempt by attempt; and sending it again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from datalab.runtime.web import Problem
from datalab.store.tables.notifier import AttemptRow, DeliveryRow
from services.notifier.api.pages import Id, PageSize, PageToken, position_of, token_for
from services.notifier.ledger import Ledger
from services.notifier.planned import UNROUTED
from services.notifier.records import Records
from services.notifier.replaying import Which
from services.notifier.sender import Sender

Status = Literal["pending", "delivered", "suppressed", "dead"]
Text = Annotated[str | None, Query(max_length=300, pattern=r"^[^\x00]*$")]
Filter = Annotated[str, Field(max_length=300, pattern=r"^[^\x00]+$")]


class DeliveryView(BaseModel):
    """A delivery. `reason` of a pending one is why its last attempt failed."""

    id: str = Field(description="Also the webhook-id that the receiver sees")
    event_id: str
    event_type: str
    correlation_id: str
    fingerprint: str | None
    channel: str
    target: str
    subscription_id: str | None
    kind: str = Field(description="event, firing, resolved, repeat, late, escalation, fallback or digest")
    route: str | None
    status: Status
    held: Literal["group", "queue", "carried"] | None = Field(description="Where a pending one waits before it is due")
    carried_by: str | None = Field(description="The delivery of the group's message, or of the digest, that tells it")
    handed_to: str | None = Field(description="The delivery to the fall-back receiver")
    reason: str | None
    attempts: int
    status_code: int | None
    created_at: datetime
    next_attempt_at: datetime | None = Field(description="Of a pending one that is not held")
    finished_at: datetime | None


class AttemptView(BaseModel):
    """One try."""

    attempt: int
    outcome: Literal["delivered", "retry", "dead", "under-way", "unknown"]
    status_code: int | None = None
    reason: str | None = None
    duration_ms: int | None = None
    answer: str | None = Field(default=None, description="The beginning of what the receiver answered, as one line")
    at: datetime | None = None


class DeliveryDetail(DeliveryView):
    """A delivery with its attempts and the event that it carries."""

    attempt_log: list[AttemptView]
    event: dict[str, Any]


class DeliveryPage(BaseModel):
    """One page, the newest first."""

    deliveries: list[DeliveryView]
    next_page_token: str | None


class Replay(BaseModel):
    """Which finished deliveries to send again: those that fit all that is given, which must be something."""

    model_config = ConfigDict(extra="forbid")

    subscription_id: Filter | None = None
    target: Filter | None = Field(default=None, description="Name of a receiver or subscription")
    status: list[Literal["delivered", "suppressed", "dead"]] = Field(
        default=["suppressed", "dead"], min_length=1, description="By default what did not arrive"
    )
    since: AwareDatetime | None = Field(default=None, description="Due since this time")
    until: AwareDatetime | None = Field(default=None, description="Due before this time")
    per_s: float = Field(default=10.0, gt=0.001, le=1000, description="At most so many a second")

    @model_validator(mode="after")
    def _chosen(self) -> Self:
        if not (self.subscription_id or self.target or self.since):
            raise ValueError("needs subscription_id, target or since, so that not everything is sent again")
        return self

    def which(self) -> Which:
        """The same, for the ledger."""
        return Which(None, self.subscription_id, self.target, tuple(self.status), self.since, self.until)


class Replayed(BaseModel):
    """How many are due again, and over how long they are spread."""

    replayed: int
    over_s: float


def router(records: Records, ledger: Ledger, sender: Sender) -> APIRouter:
    """The router of these operations."""
    api = APIRouter(prefix="/v1/deliveries", tags=["deliveries"])

    @api.get("", summary="List, the newest first")
    async def list_(  # noqa: PLR0913, PLR0917 - the filters of the query
        event_id: Text = None,
        status: Status | None = None,
        channel: Text = None,
        fingerprint: Text = None,
        correlation_id: Text = None,
        subscription_id: Text = None,
        target: Text = None,
        page_size: PageSize = 100,
        page_token: PageToken = None,
    ) -> DeliveryPage:
        wanted = {
            "event_id": event_id,
            "status": status,
            "channel": channel,
            "fingerprint": fingerprint,
            "correlation_id": correlation_id,
            "subscription_id": subscription_id,
            "target": target,
        }
        filters = {name: value for name, value in wanted.items() if value is not None}
        rows = await records.deliveries(filters, position_of(page_token), page_size + 1)
        last = rows[page_size - 1] if len(rows) > page_size else None
        return DeliveryPage(
            deliveries=[DeliveryView(**_fields(row)) for row in rows[:page_size]],
            next_page_token=token_for(last.created_at, last.id) if last else None,
        )

    @api.post(":replay", status_code=202, summary="Send many again, under the same ids, at a rate")
    async def replay_many(wanted: Replay) -> Replayed:
        count = await ledger.replay(wanted.which(), wanted.per_s)
        sender.wake()
        return Replayed(replayed=count, over_s=max(0.0, (count - 1) / wanted.per_s))

    @api.get("/{delivery_id}", summary="One delivery with its attempts and its event")
    async def show(delivery_id: Id) -> DeliveryDetail:
        found = await records.delivery(delivery_id)
        if found is None:
            raise _unknown(delivery_id)
        row, attempts = found
        return DeliveryDetail(**_fields(row), attempt_log=attempt_log(row, attempts), event=row.event)

    @api.post("/{delivery_id}:replay", status_code=202, summary="Send it again, under the same id")
    async def replay(delivery_id: Id) -> DeliveryView:
        found = await records.delivery(delivery_id)
        if found is None:
            raise _unknown(delivery_id)
        if found[0].channel == UNROUTED:
            raise Problem(409, "Nowhere to send", "no route matched this alert: add one to notify.yaml first")
        await ledger.replay(Which(id=delivery_id))
        sender.wake()
        again = await records.delivery(delivery_id)
        return DeliveryView(**_fields((again or found)[0]))

    return api


def attempt_log(row: DeliveryRow, attempts: Sequence[AttemptRow]) -> list[AttemptView]:
    """Every attempt by number. A claim without a record is the one under way, or one whose process ended too soon:
    then nobody knows whether the receiver got it."""
    if row.held == "carried":  # the attempts are those of the message that carries it
        return []
    recorded = {attempt.attempt: attempt for attempt in attempts}
    log: list[AttemptView] = []
    for number in range(1, row.attempts + 1):
        found = recorded.get(number)
        if found is not None:
            log.append(AttemptView.model_validate(found, from_attributes=True))
        elif number == row.attempts and row.status == "pending":
            log.append(AttemptView(attempt=number, outcome="under-way"))
        elif number == row.attempts and row.status == "suppressed":
            continue  # it was claimed, and found to have nowhere to go
        else:
            reason = "the process ended before it recorded what came of this attempt"
            log.append(AttemptView(attempt=number, outcome="unknown", reason=reason))
    return log


def _fields(row: DeliveryRow) -> dict[str, Any]:
    fields = {name: getattr(row, name) for name in DeliveryView.model_fields}
    waits = row.status == "pending" and row.held is None
    return {**fields, "next_attempt_at": row.next_attempt_at if waits else None}


def _unknown(delivery_id: str) -> Problem:
    return Problem(404, "Unknown delivery", f"no delivery has the id {delivery_id!r}")
