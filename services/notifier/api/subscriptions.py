"""`/v1/subscriptions`: webhooks that want events of some types."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from datalab.runtime.clock import Clock
from datalab.runtime.web import Problem
from datalab.store.tables.notifier import SubscriptionRow
from schemas.catalog import EVENT_TYPES
from schemas.envelope import Event, event_id
from services.notifier.api.pages import PageSize
from services.notifier.guard import Guard, RefusedError, shown
from services.notifier.ledger import Ledger, refusal
from services.notifier.routing import Planned, subscription_key, wants
from services.notifier.sender import Sender
from services.notifier.subscriptions import ConflictError, Opened, Subscriptions

EventType = Annotated[str, Field(pattern=r"^[A-Za-z0-9*?][A-Za-z0-9._*?-]{0,199}$")]
EventTypes = Annotated[list[EventType], Field(min_length=1, max_length=50)]
SecretUrl = Annotated[SecretStr, Field(max_length=2048)]
TEST_TYPE = "lab.subscription.test.v1"


class NewSubscription(BaseModel):
    """What to create. Event types may be patterns: `lab.run.*`, `*`."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    url: SecretUrl
    event_types: EventTypes


class SubscriptionChange(BaseModel):
    """What to change; what is absent stays."""

    model_config = ConfigDict(extra="forbid")

    url: SecretUrl | None = None
    event_types: EventTypes | None = None
    active: bool | None = None


class SubscriptionView(BaseModel):
    """A subscription as it may be shown. `secret` only in the answer that made it."""

    id: str
    name: str
    address: str = Field(description="Scheme and host of the URL; the rest is secret")
    event_types: list[str]
    known_types: list[str] = Field(description="The catalogue's types among those it wants")
    active: bool
    disabled_reason: str | None
    created_at: datetime
    updated_at: datetime
    secret: str | None = None


class SubscriptionPage(BaseModel):
    """One page of the list."""

    subscriptions: list[SubscriptionView]
    next_page_token: str | None


class TestSend(BaseModel):
    """The delivery that carries the test message; `GET /v1/deliveries/{delivery_id}` tells what became of it."""

    delivery_id: str


def router(  # noqa: C901 - one small function per operation
    subscriptions: Subscriptions, ledger: Ledger, sender: Sender, guard: Guard, clock: Clock, overlap: timedelta
) -> APIRouter:
    """The router of these operations."""
    api = APIRouter(prefix="/v1/subscriptions", tags=["subscriptions"])

    @api.post("", status_code=201, summary="Create; the same name and URL again answers 200, without a secret")
    async def create(new: NewSubscription, response: Response) -> SubscriptionView:
        url = new.url.get_secret_value()
        await _acceptable(guard, url)
        try:
            opened = await subscriptions.open(new.name, url, list(dict.fromkeys(new.event_types)))
        except ConflictError as error:
            raise Problem(409, "Name is taken", f"name: {error}") from error
        if opened.secret is None:
            response.status_code = 200
        return _view(opened)

    @api.get("", summary="List, by name")
    async def list_(page_size: PageSize = 100, page_token: str = "") -> SubscriptionPage:
        rows = await subscriptions.list(page_token, page_size + 1)
        more = rows[page_size - 1].name if len(rows) > page_size else None
        views = [_view(Opened(row, None)) for row in rows[:page_size]]
        return SubscriptionPage(subscriptions=views, next_page_token=more)

    @api.get("/{key}", summary="Show one, by id or name")
    async def show(key: str) -> SubscriptionView:
        return _view(Opened(_found(await subscriptions.find(key), key), None))

    @api.patch("/{key}", summary="Change URL or event types, switch on or off")
    async def change(key: str, wanted: SubscriptionChange) -> SubscriptionView:
        changes = wanted.model_dump(exclude_none=True)
        if wanted.url is not None:
            changes["url"] = wanted.url.get_secret_value()
            await _acceptable(guard, changes["url"])
        return _view(Opened(_found(await subscriptions.change(key, changes), key), None))

    @api.delete("/{key}", status_code=204, summary="Remove; what was still due to it ends suppressed")
    async def remove(key: str) -> None:
        row = _found(await subscriptions.find(key), key)
        await ledger.remove_subscription(row.id)

    @api.post("/{key}:rotate-secret", summary="New secret; the old one signs beside it for a while")
    async def rotate(key: str) -> SubscriptionView:
        opened = await subscriptions.rotate(key, clock.now(), overlap)
        if opened is None:
            raise _unknown(key)
        return _view(opened)

    @api.post("/{key}:test", status_code=202, summary="Send a test event to it")
    async def test(key: str) -> TestSend:
        row = _found(await subscriptions.find(key), key)
        if reason := refusal(row.name, active=row.active, reason=row.disabled_reason):
            raise Problem(409, "Subscription is disabled", f"{reason}; switch it on with PATCH active=true")
        event = _test_event(row.name, clock.now())
        target_key = subscription_key(row.id)
        delivery_id = event_id(event.id, "webhook", target_key)
        await ledger.store_for(event, Planned(delivery_id, "webhook", row.name, target_key, row.id))
        sender.wake()
        return TestSend(delivery_id=delivery_id)

    return api


async def _acceptable(guard: Guard, url: str) -> None:
    try:
        await guard.check(url)
    except RefusedError as error:
        raise Problem(422, "URL is refused", f"url: {error}") from error
    except OSError:
        raise Problem(422, "URL is refused", f"url: the host of {shown(url)} does not resolve") from None


def _test_event(name: str, now: datetime) -> Event:
    data = {"subscription": name, "message": "This is a test of your subscription."}
    return Event(id=str(uuid.uuid4()), source="datalab/notifier", type=TEST_TYPE, subject=name, time=now, data=data)


def _view(opened: Opened) -> SubscriptionView:
    row = opened.row
    known = [type_ for type_ in EVENT_TYPES if wants(row.event_types, type_)]
    return SubscriptionView(
        id=row.id,
        name=row.name,
        address=shown(row.url),
        event_types=row.event_types,
        known_types=known,
        active=row.active,
        disabled_reason=row.disabled_reason,
        created_at=row.created_at,
        updated_at=row.updated_at,
        secret=opened.secret,
    )


def _found(row: SubscriptionRow | None, key: str) -> SubscriptionRow:
    if row is None:
        raise _unknown(key)
    return row


def _unknown(key: str) -> Problem:
    return Problem(404, "Unknown subscription", f"no subscription has the id or name {key!r}")
