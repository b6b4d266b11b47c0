"""REST over dead letters: list, show, replay. Here few are replayed; for many, `datalab dlq replay` takes its time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, params
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from datalab.bus.publisher import Publisher
from datalab.runtime.web import Problem
from datalab.store.engine import Sessions
from services.bridge.dead_letters import DeadLetter, Selection, read_dead_letters, read_some
from services.bridge.replaying import Outcome, replay_all

_LONGEST_S = 30.0
_MOST = 1000
Offset = Annotated[str | None, Query(description="next_page_token of the page before")]


class DeadLetterList(BaseModel):
    """One page of dead letters, oldest first, without their records."""

    dead_letters: list[dict[str, Any]]
    next_page_token: str | None


class ReplayRequest(BaseModel):
    """Which letters: by id, or all that fit the other fields. At least one of them must be given."""

    model_config = ConfigDict(extra="forbid")

    ids: list[str] = Field(default_factory=list, max_length=_MOST)
    group: str = ""
    rule: str = ""
    error: str = ""
    topic: str = ""
    type: str = ""
    event: str = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    rate: float | None = Field(default=None, gt=0, description="at most so many a second")
    dry_run: bool = False
    again: bool = Field(default=False, description="also those that were replayed before")

    def selection(self) -> Selection:
        """The letters that fit."""
        return Selection(**{name: getattr(self, name) for name in Selection.__dataclass_fields__})


class ReplayView(BaseModel):
    """What became of one letter: replayed, would-replay, before or refused (with the reason)."""

    id: str
    event_id: str | None
    topic: str
    outcome: Outcome
    place: str
    reason: str


class ReplayResult(BaseModel):
    """What became of each, in order."""

    replays: list[ReplayView]


def _selection(
    # `type` is the word of the address.
    group: str = "", rule: str = "", error: str = "", topic: str = "", type: str = "", event: str = "",  # noqa: A002
    since: AwareDatetime | None = None, until: AwareDatetime | None = None,
) -> Selection:  # fmt: skip
    return Selection(group, rule, error, topic, type, event, since, until)


def dead_letters_router(
    bootstrap: str, publisher: Publisher, sessions: Sessions, changes: Sequence[params.Depends]
) -> APIRouter:
    """The endpoints over the dead letters of this broker; `changes` is what a replay depends on."""
    router = APIRouter(prefix="/v1", tags=["dead letters"])

    @router.get("/dead-letters", summary="Dead letters that fit, oldest first")
    async def list_(
        selection: Annotated[Selection, Depends(_selection)],
        page_size: Annotated[int, Query(ge=1, le=500)] = 50,
        page_token: Offset = None,
    ) -> DeadLetterList:
        after = _position(page_token)
        letters = [one for one in await _read(bootstrap, selection) if (one.at, one.id) > after]
        more = len(letters) > page_size
        last = letters[page_size - 1] if more else None
        page = [letter.summary() for letter in letters[:page_size]]
        return DeadLetterList(dead_letters=page, next_page_token=f"{last.at}/{last.id}" if last else None)

    @router.get("/dead-letters/{letter_id}", summary="One dead letter with its record")
    async def show(letter_id: str) -> dict[str, Any]:
        return (await _some(bootstrap, [letter_id]))[0].full()

    @router.post(
        "/dead-letters:replay", summary="Publish dead letters again, each once, under their ids", dependencies=changes
    )
    async def replay(wanted: ReplayRequest) -> ReplayResult:
        if not wanted.ids and wanted.selection() == Selection():
            raise Problem(422, "Invalid request", "ids: name dead letters, or choose them by group, rule, error, …")
        letters = await _some(bootstrap, wanted.ids) if wanted.ids else await _read(bootstrap, wanted.selection())
        letters = [letter for letter in letters if wanted.selection().holds(letter)]
        _refuse_long_work(len(letters), wanted.rate)
        replays = replay_all(
            letters, publisher, sessions, per_second=wanted.rate, again=wanted.again, dry_run=wanted.dry_run
        )
        views = [
            ReplayView(id=one.letter.id, event_id=one.letter.event_id, topic=one.letter.topic, outcome=one.outcome,
                       place=one.place, reason=one.reason)
            async for one in replays
        ]  # fmt: skip
        return ReplayResult(replays=views)

    return router


async def _read(bootstrap: str, selection: Selection) -> list[DeadLetter]:
    try:
        letters = await read_dead_letters(bootstrap, selection)
    except ConnectionError as error:
        raise Problem(503, "Service Unavailable", f"{error}; try again") from error
    return sorted(letters, key=lambda letter: (letter.at, letter.id))


async def _some(bootstrap: str, ids: Sequence[str]) -> list[DeadLetter]:
    try:
        return await read_some(bootstrap, ids)
    except LookupError as error:
        raise Problem(404, "Not Found", f"{error}; GET /v1/dead-letters lists them") from error
    except ConnectionError as error:
        raise Problem(503, "Service Unavailable", f"{error}; try again") from error


def _position(token: str | None) -> tuple[str, str]:
    if token is None:
        return ("", "")
    at, found, id_ = token.partition("/")
    try:
        datetime.fromisoformat(at)
    except ValueError:
        found = ""
    if not found:
        raise Problem(422, "Invalid request", "page_token: is not one that this service gave; leave it out")
    return at, id_


def _refuse_long_work(count: int, rate: float | None) -> None:
    if count > _MOST or (rate is not None and count / rate > _LONGEST_S):
        takes = f"would take {count / rate:.0f} s at {rate:g} a second" if rate else "are too many"
        way_out = "choose fewer, or use `datalab dlq replay`"
        raise Problem(422, "Invalid request", f"rate: {count} dead letters {takes} for one request; {way_out}")
