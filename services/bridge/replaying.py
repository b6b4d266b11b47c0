"""Publishing dead letters again, each once, at a chosen rate. For people: no service does this by itself."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from datalab.bus.publisher import Publisher
from datalab.store.engine import Sessions
from datalab.store.tables.bridge import ReplayRow
from schemas.codec import STRUCTURED, EncodedRecord
from services.bridge.dead_letters import DeadLetter

Outcome = Literal["replayed", "would-replay", "before", "refused"]
_ATTRIBUTE = "replayof"


@dataclass(frozen=True)
class Replay:
    """What became of one letter. `place` is where the record is now, `reason` why it is not."""

    letter: DeadLetter
    outcome: Outcome
    place: str = ""
    reason: str = ""


async def replay_all(
    letters: Iterable[DeadLetter],
    publisher: Publisher,
    sessions: Sessions,
    *,
    per_second: float | None = None,
    again: bool = False,
    dry_run: bool = False,
) -> AsyncIterator[Replay]:
    """Each letter in its turn, no more than so many a second; nothing is written with `dry_run`."""
    due = time.monotonic()
    for letter in letters:
        if (refusal := letter.refusal()) is not None:
            yield Replay(letter, "refused", reason=refusal)
            continue
        if not again and (place := await _replayed_before(letter, sessions)) is not None:
            yield Replay(letter, "before", place)
            continue
        if dry_run:
            yield Replay(letter, "would-replay")
            continue
        if per_second is not None:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic()) + 1 / per_second
        place = await replay(letter, publisher, sessions, again=again)
        yield Replay(letter, "before") if place is None else Replay(letter, "replayed", place)


async def replay(letter: DeadLetter, publisher: Publisher, sessions: Sessions, *, again: bool = False) -> str | None:
    """Publish the original record to its original topic, under its own id and marked as the replay that it is;
    returns where it is now, or None if that was done before. Raises ValueError for a letter without a record.

    The note of it is locked meanwhile, so that two people replay once; a crash in between replays again, under the
    same event id.
    """
    if (refusal := letter.refusal()) is not None:
        raise ValueError(f"dead letter {letter.id} cannot be replayed: {refusal}")
    async with sessions.begin() as session:
        await session.execute(insert(ReplayRow).values(dead_letter=letter.id).on_conflict_do_nothing())
        row = await session.scalar(select(ReplayRow).where(ReplayRow.dead_letter == letter.id).with_for_update())
        assert row is not None, "it was inserted above"
        if row.replayed_at is not None and not again:
            return None
        # A key finds its partition by itself; without one the record goes where it was.
        partition = letter.partition if letter.record.key is None else None
        ref = await publisher.publish_record(letter.topic, marked(letter), partition)
        await session.execute(
            update(ReplayRow)
            .where(ReplayRow.dead_letter == letter.id)
            .values(replayed_at=func.now(), replayed_to=str(ref))
        )
        return str(ref)


def marked(letter: DeadLetter) -> EncodedRecord:
    """The record with the attribute `replayof`, where its form has room for one, else with a header of that name."""
    key, value, headers = letter.record
    headers = [(name, text) for name, text in headers if name.lower() not in {_ATTRIBUTE, f"ce_{_ATTRIBUTE}"}]
    of = letter.id.encode()
    content_type = next((text for name, text in headers if name.lower() == "content-type"), b"")
    binary = any(name.lower().startswith("ce_") for name, _ in headers)
    if content_type.lower().startswith(STRUCTURED.encode()) or not binary:
        return EncodedRecord(key, _with_attribute(value, letter.id), [*headers, (_ATTRIBUTE, of)])
    return EncodedRecord(key, value, [*headers, (f"ce_{_ATTRIBUTE}", of)])


def _with_attribute(value: bytes, of: str) -> bytes:
    """A whole event with one attribute more; anything else as it is."""
    try:
        event = json.loads(value)
    except ValueError:
        return value
    if not isinstance(event, dict) or "specversion" not in event:
        return value
    return json.dumps({**event, _ATTRIBUTE: of}, ensure_ascii=False).encode("utf-8", "surrogatepass")


async def _replayed_before(letter: DeadLetter, sessions: Sessions) -> str | None:
    async with sessions() as session:
        row = await session.get(ReplayRow, letter.id)
    return None if row is None or row.replayed_at is None else row.replayed_to or ""
