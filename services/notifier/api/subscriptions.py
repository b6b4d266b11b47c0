"""`/v1/subscriptions`: webhooks that want events of some types."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from datalab.runtime.clock import Clock
from datalab.runtime.web import Problem
from datalab.store.tables.notifier import SubscriptionRow
from schemas.catalog import EVENT_TYPES
from schemas.envelope import Event, event_id
from services.notifier.api.doors import Doors
from services.notifier.api.pages import PageSize
from services.notifier.guard import shown
from services.notifier.ledger import Ledger, refusal
from services.notifier.matching import Matchers
from services.notifier.planned import Planned, subscription_key
from services.notifier.sender import Sender
from services.notifier.subscriptions import ConflictError, New, Opened, Ordering, Subscriptions
from services.notifier.wishes import wants

EventType = Annotated[str, Field(pattern=r"^[A-Za-z0-9*?][A-Za-z0-9._*?-]{0,199}$")]
EventTypes = Annotated[list[EventType], Field(min_length=1, max_length=50)]
SecretUrl = Annotated[SecretStr, Field(max_length=2048)]
Owner = Annotated[str, Field(pattern=r"^[^\s\x00-\x1f]{1,200}$")]
Signature = Literal["v1", "v1+v1a"]
# Nothing else names a subscription, and Postgres takes no NUL.
Key = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
NameToken = Annotated[str, Query(pattern=r"^[A-Za-z0-9._-]{0,100}$")]
TEST_TYPE = "lab.subscription.test.v1"


class NewSubscription(BaseModel):
    """What to create. Event types may be patterns: `lab.run.*`, `*`. With `match`, only such alerts."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    url: SecretUrl
    event_types: EventTypes = Field(default=["lab.alert.*"], description="By default alerts")
    match: Matchers | None = Field(default=None, description="Matchers of alerts, as in notify.yaml")
    owner: Owner | None = Field(default=None, description="Who hears when it is switched off; an address gets a mail")
    ordering: Ordering = Field(
        default="none", description="`subject`: events of a subject one after the other; `all`: all of them"
    )
    signature: Signature = Field(default="v1", description="`v1+v1a` signs with ed25519, too")


class SubscriptionChange(BaseModel):
    """What to change; what is absent stays. Another URL has to agree anew."""

    model_config = ConfigDict(extra="forbid")

    url: SecretUrl | None = None
    event_types: EventTypes | None = None
    match: Matchers | None = None
    owner: Owner | None = None
    ordering: Ordering | None = None
    active: bool | None = None


class SubscriptionView(BaseModel):
    """A subscription as it may be shown. `secret` only in the answer that made it."""

    id: str
    name: str
    address: str = Field(description="Scheme and host of the URL; the rest is secret")
    event_types: list[str]
    known_types: list[str] = Field(description="The catalogue's types among those it wants")
    match: Matchers | None
    owner: str | None
    ordering: Ordering
    active: bool
    disabled_reason: str | None
    consent: str | None = Field(description="How the endpoint agreed: `handshake` or `challenge`; null if it has not")
    consent_reason: str | None = Field(description="Why it has not agreed; nothing is sent to it until it does")
    allowed_per_min: int | None = Field(
        description="Deliveries a minute that the endpoint takes, by its WebHook-Allowed-Rate; null: no limit"
    )
    failing_since: datetime | None
    public_key: str | None = Field(description="`whpk_…`, what signatures of the kind `v1a` are verified with")
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
    subscriptions: Subscriptions, ledger: Ledger, sender: Sender, doors: Doors, clock: Clock, overlap: timedelta
) -> APIRouter:
    """The router of these operations."""
    api = APIRouter(prefix="/v1/subscriptions", tags=["subscriptions"])

    async def ask(row: SubscriptionRow) -> SubscriptionRow:
        asked = await doors.ask(row.url)
        return _found(await subscriptions.note_consent(row.id, asked), row.id)

    @api.post("", status_code=201, summary="Create; the same again answers 200, without a secret")
    async def create(new: NewSubscription, response: Response) -> SubscriptionView:
        wanted = _wanted(new)
        await doors.check(wanted.url)
        try:
            opened = await subscriptions.open(wanted)
        except ConflictError as error:
            raise Problem(409, "Name is taken", f"name: {error}") from error
        if opened.secret is None:
            response.status_code = 200
        row = opened.row if opened.row.consented_at else await ask(opened.row)
        return _view(Opened(row, opened.secret))

    @api.get("", summary="List, by name")
    async def list_(page_size: PageSize = 100, page_token: NameToken = "") -> SubscriptionPage:
        rows = await subscriptions.list(page_token, page_size + 1)
        more = rows[page_size - 1].name if len(rows) > page_size else None
        views = [_view(Opened(row, None)) for row in rows[:page_size]]
        return SubscriptionPage(subscriptions=views, next_page_token=more)

    @api.get("/{key}", summary="Show one, by id or name")
    async def show(key: Key) -> SubscriptionView:
        return _view(Opened(_found(await subscriptions.find(key), key), None))

    @api.patch("/{key}", summary="Change it, switch it on or off")
    async def change(key: Key, wanted: SubscriptionChange) -> SubscriptionView:
        changes = wanted.model_dump(exclude_none=True, exclude={"url"}, mode="json")
        if wanted.url is not None:
            changes["url"] = wanted.url.get_secret_value()
            await doors.check(changes["url"])
        row = _found(await subscriptions.change(key, changes), key)
        return _view(Opened(row if row.consented_at else await ask(row), None))

    @api.delete("/{key}", status_code=204, summary="Remove; what was still due to it ends suppressed")
    async def remove(key: Key) -> None:
        row = _found(await subscriptions.find(key), key)
        await ledger.remove_subscription(row.id)

    @api.post("/{key}:handshake", summary="Ask the endpoint again whether it agrees to receive")
    async def handshake(key: Key) -> SubscriptionView:
        return _view(Opened(await ask(_found(await subscriptions.find(key), key)), None))

    @api.post("/{key}:rotate-secret", summary="New keys; the old ones sign beside them for a while")
    async def rotate(key: Key) -> SubscriptionView:
        opened = await subscriptions.rotate(key, clock.now(), overlap)
        if opened is None:
            raise _unknown(key)
        return _view(opened)

    @api.post("/{key}:test", status_code=202, summary="Send a test event to it")
    async def test(key: Key) -> TestSend:
        row = _found(await subscriptions.find(key), key)
        if reason := refusal(row):
            fix = "POST :handshake asks it again" if row.active else "switch it on with PATCH active=true"
            raise Problem(409, "Subscription takes nothing", f"{reason}; {fix}")
        event = _test_event(row.name, clock.now())
        target_key = subscription_key(row.id)
        delivery_id = event_id(event.id, "webhook", target_key)
        await ledger.store_for(event, Planned(delivery_id, "webhook", row.name, target_key, row.id))
        sender.wake()
        return TestSend(delivery_id=delivery_id)

    return api


def _wanted(new: NewSubscription) -> New:
    return New(
        name=new.name,
        url=new.url.get_secret_value(),
        event_types=list(dict.fromkeys(new.event_types)),
        owner=new.owner,
        match=None if new.match is None else new.match.model_dump(mode="json"),
        ordering=new.ordering,
        asymmetric=new.signature == "v1+v1a",
    )


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
        match=None if row.match is None else Matchers.model_validate(row.match),
        owner=row.owner,
        ordering=row.ordering,
        active=row.active,
        disabled_reason=row.disabled_reason,
        consent=row.consent,
        consent_reason=row.consent_reason,
        allowed_per_min=row.allowed_per_min,
        failing_since=row.failing_since,
        public_key=row.public_key,
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
