"""`/v1/silences`: alerts that nobody is told for a while."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Header
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from datalab.runtime.clock import Clock
from datalab.runtime.web import Problem
from datalab.store.tables.notifier_alerting import SilenceRow
from services.notifier.api.pages import Key, PageSize, PageToken, Person, position_of, token_for
from services.notifier.fields import Span
from services.notifier.matching import Matchers
from services.notifier.silences import NewSilence, Silences, State

Words = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
_LONGEST = timedelta(days=366)


class SilenceWish(BaseModel):
    """What to silence, from `starts_at` or now, until `ends_at` or for `duration` (such as `2h`)."""

    model_config = ConfigDict(extra="forbid")

    matchers: Matchers
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None
    duration: Span | None = None
    author: Person
    comment: Words

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.matchers.empty:
            raise ValueError("matchers: name something to match; an empty one would silence every alert")
        if (self.ends_at is None) == (self.duration is None):
            raise ValueError("needs either ends_at or duration")
        return self


class SilenceView(BaseModel):
    """A silence. `alerts` are those that fire now and match."""

    id: str
    state: State
    matchers: Matchers
    starts_at: datetime
    ends_at: datetime
    author: str
    comment: str
    ended_by: str | None
    created_at: datetime
    alerts: list[str] | None = Field(default=None, description="Fingerprints; with one silence, not in lists")


class SilencePage(BaseModel):
    """One page, the newest first."""

    silences: list[SilenceView]
    next_page_token: str | None


class Ending(BaseModel):
    """Who ends it."""

    model_config = ConfigDict(extra="forbid")

    author: Person


def router(silences: Silences, wake: Callable[[], None], clock: Clock) -> APIRouter:
    """The router of these operations."""
    api = APIRouter(prefix="/v1/silences", tags=["silences"])

    @api.post("", status_code=201, summary="Silence alerts for a while")
    async def create(
        wish: SilenceWish, idempotency_key: Annotated[str | None, Header(max_length=200, pattern=r"^[^\x00]+$")] = None
    ) -> SilenceView:
        row = await silences.add(_new(wish, clock.now()), idempotency_key)
        return await _shown(row)

    @api.get("", summary="List, the newest first")
    async def list_(
        state: Literal["pending", "active", "expired"] | None = None,
        page_size: PageSize = 100,
        page_token: PageToken = None,
    ) -> SilencePage:
        rows = await silences.list(state, position_of(page_token), page_size + 1)
        last = rows[page_size - 1] if len(rows) > page_size else None
        views = [_view(row, clock.now()) for row in rows[:page_size]]
        return SilencePage(silences=views, next_page_token=token_for(last.created_at, last.id) if last else None)

    @api.get("/{silence_id}", summary="Show one, and which alerts that fire now it is about")
    async def show(silence_id: Key) -> SilenceView:
        return await _shown(_found(await silences.find(silence_id), silence_id))

    @api.post("/{silence_id}:expire", summary="End it now; what it kept back and still fires is told")
    async def expire(silence_id: Key, ending: Ending) -> SilenceView:
        row = _found(await silences.expire(silence_id, ending.author), silence_id)
        wake()
        return await _shown(row)

    @api.delete("/{silence_id}", status_code=204, summary="The same as `:expire`; its record stays")
    async def remove(silence_id: Key) -> None:
        _found(await silences.expire(silence_id, "the API"), silence_id)
        wake()

    async def _shown(row: SilenceRow) -> SilenceView:
        alerts = await silences.silenced(Matchers.model_validate(row.matchers))
        return _view(row, clock.now()).model_copy(update={"alerts": [alert.fingerprint for alert in alerts]})

    return api


def _new(wish: SilenceWish, now: datetime) -> NewSilence:
    starts = max(wish.starts_at or now, now)
    if starts - now > _LONGEST:
        raise Problem(422, "Silence is too far off", "starts_at: must be within a year")
    ends = wish.ends_at or starts + (wish.duration or timedelta())
    if ends <= starts:
        raise Problem(422, "Silence would be over", "ends_at: must be later than starts_at and than now")
    if ends - now > _LONGEST:
        raise Problem(422, "Silence is too long", "ends_at: must be within a year; make it again later")
    return NewSilence(wish.matchers, wish.starts_at and starts, ends, wish.author.strip(), wish.comment.strip())


def _view(row: SilenceRow, now: datetime) -> SilenceView:
    fields = {name: getattr(row, name) for name in SilenceView.model_fields if name not in ("state", "alerts")}
    state = "expired" if row.ends_at <= now else "pending" if row.starts_at > now.astimezone(UTC) else "active"
    return SilenceView.model_validate({**fields, "state": state})


def _found(row: SilenceRow | None, id_: str) -> SilenceRow:
    if row is None:
        raise Problem(404, "Unknown silence", f"no silence has the id {id_!r}")
    return row
