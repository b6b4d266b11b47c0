"""Idempotency-Key: a request that was answered within a week gets the same answer again and publishes nothing.

Postgres is the truth, for every instance. A key is claimed before publishing and gets its answer after it. A process
that is killed in between leaves a claim that ends by itself; the repeat then publishes again, under the same ids and
times, so that consumers recognise it.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, case, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from starlette.requests import Request

from datalab.runtime.clock import Clock
from datalab.runtime.web import Problem
from datalab.store.engine import Sessions
from datalab.store.tables.ingest_api import AnswerRow
from services.ingest.acceptance import media_type

KEPT = timedelta(days=7)
_PRUNED_AT_ONCE = 5_000
# What makes a request another one under the same key; other headers come and go on the way.
_MEANT = ("ce-",)


class Answer(NamedTuple):
    """What a request is answered with. `is_final` is false while a repeat may do better, such as after an outage."""

    status: int
    body: bytes
    is_final: bool = True


@dataclass(frozen=True)
class Claim:
    """A key while its request is under way. `since` is when the key was first seen."""

    sender: str
    key: str
    name: str
    since: datetime


def key_of(request: Request) -> str | None:
    """The request's Idempotency-Key, if it has one; raises Problem 422 if it is none."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    key = given[0].strip()
    if len(given) > 1 or not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        detail = "must be given once, with 1 to 255 printable ASCII characters"
        errors = [{"field": "Idempotency-Key", "reason": detail}]
        raise Problem(422, "Invalid request", f"Idempotency-Key: {detail}", errors=errors)
    return key


def fingerprint(request: Request, body: bytes) -> str:
    """What tells this request from another one under the same key."""
    meant = sorted((n, v) for n, v in request.headers.items() if n.startswith(_MEANT))
    said = repr((media_type(request.headers), meant)).encode()
    return hashlib.sha256(said + b"\0" + body).hexdigest()


class Answers:
    """The keys of one lab. Methods raise what SQLAlchemy raises while Postgres is away."""

    def __init__(self, sessions: Sessions, clock: Clock, claim_s: float) -> None:
        self._sessions, self._clock, self._claim_s = sessions, clock, claim_s

    async def once(
        self, sender: str, key: str, fingerprint: str, publish: Callable[[Claim], Awaitable[Answer]]
    ) -> tuple[Answer, bool]:
        """The answer, and whether it is that of an earlier request. Raises Problem 422 if the key was used for
        another request, 409 while that request is under way, and what `publish` raises, which frees the key."""
        found = await self._claim(sender, key, fingerprint)
        if isinstance(found, Answer):
            return found, True
        try:
            answer = await publish(found)
        except BaseException as error:
            await self._give_up(found, nothing_published=isinstance(error, Problem) and error.status < 500)
            raise
        if answer.is_final:
            await self._set(found, status=answer.status, body=answer.body)
        else:
            await self._give_up(found, nothing_published=False)
        return answer, False

    async def prune(self) -> int:
        """Forget keys that are older than a week; returns how many."""
        pruned = 0
        while True:
            old = select(AnswerRow.sender, AnswerRow.key).where(AnswerRow.expires_at < self._clock.now())
            some = old.limit(_PRUNED_AT_ONCE).subquery()
            same = (AnswerRow.sender == some.c.sender, AnswerRow.key == some.c.key)
            async with self._sessions.begin() as session:
                gone = len((await session.execute(delete(AnswerRow).where(*same).returning(AnswerRow.key))).all())
            pruned += gone
            if gone < _PRUNED_AT_ONCE:
                return pruned

    async def _claim(self, sender: str, key: str, fingerprint: str) -> Claim | Answer:
        now, name = self._clock.now(), uuid.uuid4().hex
        until, expires = now + timedelta(seconds=self._claim_s), now + KEPT
        fresh = insert(AnswerRow).values(
            sender=sender, key=key, fingerprint=fingerprint, claim=name, claimed_until=until, created_at=now,
            expires_at=expires,
        )  # fmt: skip
        expired = AnswerRow.expires_at < now
        abandoned = (AnswerRow.status.is_(None)) & (AnswerRow.claimed_until <= now)
        taken_over = fresh.on_conflict_do_update(
            index_elements=[AnswerRow.sender, AnswerRow.key],
            set_={
                "fingerprint": fingerprint, "claim": name, "claimed_until": until, "expires_at": expires,
                # An abandoned key keeps its first time; one that has expired begins anew.
                "created_at": case((expired, now), else_=AnswerRow.created_at),
                "status": None, "body": None,
            },
            where=or_(expired, abandoned & (AnswerRow.fingerprint == fingerprint)),
        ).returning(AnswerRow.created_at)  # fmt: skip
        async with self._sessions.begin() as session:
            since = await session.scalar(taken_over)
            if since is not None:
                return Claim(sender, key, name, since)
            row = await session.get(AnswerRow, (sender, key))
        return self._of_earlier(row, key, fingerprint, now)

    def _of_earlier(self, row: AnswerRow | None, key: str, fingerprint: str, now: datetime) -> Answer:
        if row is not None and row.fingerprint != fingerprint:
            detail = f"Idempotency-Key: {key!r} was used for another request; send this one under a key of its own"
            errors = [{"field": "Idempotency-Key", "reason": "was used for another request"}]
            raise Problem(422, "Idempotency-Key reused", detail, errors=errors)
        if row is None or row.status is None:  # None: it was freed a moment ago
            wait_s = 1 if row is None else max(1, math.ceil((row.claimed_until - now).total_seconds()))
            detail = f"the request with Idempotency-Key {key!r} is under way; ask again in {wait_s} s"
            raise Problem(409, "Conflict", detail, headers={"Retry-After": str(wait_s)})
        return Answer(row.status, row.body or b"")

    async def _give_up(self, claim: Claim, *, nothing_published: bool) -> None:
        """Let a repeat have the key at once; where nothing was published, a corrected request too."""
        if nothing_published:
            async with self._sessions.begin() as session:
                await session.execute(delete(AnswerRow).where(*_held(claim)))
        else:
            await self._set(claim, claimed_until=self._clock.now())

    async def _set(self, claim: Claim, **values: Any) -> None:
        async with self._sessions.begin() as session:
            await session.execute(update(AnswerRow).where(*_held(claim)).values(**values))


def _held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    """Still ours: who was slower than its claim must not write over the one that took it over."""
    return AnswerRow.sender == claim.sender, AnswerRow.key == claim.key, AnswerRow.claim == claim.name
