"""Judging the events of one request: who may send them, what is missing and follows, whether each fits its type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from datalab.runtime.clock import Clock
from datalab.runtime.web import Problem
from schemas.envelope import event_id
from services.ingest.acceptance import Draft, UserType, accept, type_of
from services.ingest.answers import Claim
from services.ingest.senders import Sender


class Types(Protocol):
    """The users' types; see services.ingest.user_types."""

    async def named(self, types: Iterable[str]) -> Mapping[str, UserType]: ...
    async def newer(self, known: UserType) -> UserType | None: ...


class Judging:
    """Judges events. With a claim, what the caller left out follows from it, so that a repeat is recognisable."""

    def __init__(self, types: Types, clock: Clock) -> None:
        self._types, self._clock = types, clock

    async def judge(self, sender: Sender, entries: Sequence[Any], claim: Claim | None) -> list[Draft | Problem]:
        """For each entry the event as it may be published, or the problem with it."""
        if claim is not None:
            entries = [_with_id(entry, claim, index) for index, entry in enumerate(entries)]
        now = self._clock.now() if claim is None else claim.since
        users = await self._types.named([type_of(entry) for entry in entries])
        judged = [_judge(sender, entry, now, users) for entry in entries]
        newer = await self._newer(entries, judged, users)
        if newer:
            for index, entry in enumerate(entries):
                if type_of(entry) in newer and isinstance(judged[index], Problem):
                    judged[index] = _judge(sender, entry, now, newer)
        return judged

    async def _newer(
        self, entries: Sequence[Any], judged: Sequence[Draft | Problem], users: Mapping[str, UserType]
    ) -> dict[str, UserType]:
        """Versions that another instance has registered, of the types whose events did not fit the one known here."""
        misfits = {type_of(entry) for entry, one in zip(entries, judged, strict=True) if isinstance(one, Problem)}
        found = {type_: await self._types.newer(users[type_]) for type_ in misfits & users.keys()}
        return {type_: known for type_, known in found.items() if known is not None}


def _judge(sender: Sender, entry: Any, now: datetime, users: Mapping[str, UserType]) -> Draft | Problem:
    try:
        draft = accept(entry, now, users)
    except Problem as problem:
        return problem
    if sender.may_publish(draft.type, draft.topic):
        return draft
    reason = f"the token has no scope for {draft.type}, such as type:{draft.type}"
    return Problem(
        403, "Forbidden", reason, errors=[{"field": "type", "reason": reason}],
        headers={"WWW-Authenticate": 'Bearer realm="datalab", error="insufficient_scope"'},
    )  # fmt: skip


def _with_id(entry: Any, claim: Claim, index: int) -> Any:
    if not isinstance(entry, dict) or entry.get("id") is not None:
        return entry
    return {**entry, "id": event_id("idempotency-key", claim.sender, claim.key, str(index))}
