"""Reading dead letters and publishing them again, each once. For people: no service does this by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from datalab.bus.deadletters import PREFIX, without_origin
from datalab.bus.publisher import Publisher
from datalab.bus.reader import read_records
from datalab.store.engine import Sessions
from datalab.store.tables.bridge import ReplayRow
from schemas.catalog import DEAD_LETTERS
from schemas.codec import EncodedRecord


@dataclass(frozen=True)
class DeadLetter:
    """A record that a consumer group could not handle. `id` is partition-offset on the topic of dead letters."""

    id: str
    topic: str
    partition: int
    offset: int
    group: str
    reason: str
    at: str
    event_id: str | None
    event_type: str | None
    record: EncodedRecord

    def summary(self) -> dict[str, Any]:
        """All but the record itself."""
        return {name: value for name, value in self.__dict__.items() if name != "record"}

    def full(self) -> dict[str, Any]:
        """With the record, as text where it is text."""
        key, value, headers = self.record
        shown = {"key": _text(key), "value": _text(value), "headers": {name: _text(v) for name, v in headers}}
        return {**self.summary(), "record": shown}


async def read_dead_letters(bootstrap: str) -> list[DeadLetter]:
    """All dead letters, oldest first; raises ConnectionError without a broker."""
    return [_letter(record) async for record in read_records(bootstrap, [DEAD_LETTERS])]


async def replay(letter: DeadLetter, publisher: Publisher, sessions: Sessions, *, again: bool = False) -> str | None:
    """Publish the original record to its original topic; returns where it is now, or None if that was done before.

    The note of it is locked meanwhile, so that two people replay once; a crash in between replays again, under the
    same event id.
    """
    async with sessions.begin() as session:
        await session.execute(insert(ReplayRow).values(dead_letter=letter.id).on_conflict_do_nothing())
        row = await session.scalar(select(ReplayRow).where(ReplayRow.dead_letter == letter.id).with_for_update())
        assert row is not None, "it was inserted above"
        if row.replayed_at is not None and not again:
            return None
        # A key finds its partition by itself; without one the record goes where it was.
        partition = letter.partition if letter.record.key is None else None
        ref = await publisher.publish_record(letter.topic, letter.record, partition)
        await session.execute(
            update(ReplayRow)
            .where(ReplayRow.dead_letter == letter.id)
            .values(replayed_at=func.now(), replayed_to=str(ref))
        )
        return str(ref)


def _letter(record: Any) -> DeadLetter:
    headers: Sequence[tuple[str, bytes]] = record.headers
    about = {name.removeprefix(PREFIX): _text(value) or "" for name, value in headers if name.startswith(PREFIX)}
    own = dict(headers)
    return DeadLetter(
        id=f"{record.partition}-{record.offset}",
        topic=about.get("topic", ""),
        partition=int(about.get("partition") or 0),
        offset=int(about.get("offset") or 0),
        group=about.get("group", ""),
        reason=about.get("reason", ""),
        at=about.get("at", ""),
        event_id=_text(own.get("ce_id")),
        event_type=_text(own.get("ce_type")),
        record=EncodedRecord(record.key, record.value or b"", without_origin(headers)),
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
