"""Records as messages: plain JSON and CloudEvents alike. What is neither is poison, with a reason."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from datalab.bus.batch import TakenRecord
from schemas.codec import STRUCTURED, CodecError, decode
from schemas.envelope import Event


class PoisonError(ValueError):
    """This record can never be processed. The message is the reason that goes to the dead letters."""


@dataclass(frozen=True)
class Message:
    """What a processor is given. `value` is the JSON of a plain message, or the data of a CloudEvent."""

    value: Any
    record: TakenRecord
    event: Event | None = None

    @property
    def key(self) -> str | None:
        """The record's key as text."""
        return None if self.record.key is None else self.record.key.decode("utf-8", "backslashreplace")

    @property
    def time(self) -> datetime:
        """When the record was produced, in UTC."""
        return datetime.fromtimestamp(self.record.timestamp_ms / 1000, UTC)

    @property
    def identity(self) -> tuple[str, ...]:
        """What a repeat has too: an event's own id, else the place and time of the record. The time tells records
        of a topic from those at the same place before it was deleted and made anew."""
        if self.event is not None:
            return (self.event.source, self.event.id)
        return (str(self.record.ref), str(self.record.timestamp_ms))


def read_message(record: TakenRecord) -> Message:
    """The message in a record; raises PoisonError."""
    if record.value is None:
        raise PoisonError("the record has no value (a tombstone is not a message)")
    if _is_event(record):
        try:
            stored_at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
            event = decode(record.key, record.value, record.headers, stored_at)
        except CodecError as error:
            raise PoisonError(f"not a CloudEvent, though its headers say so: {error}") from error
        return Message(event.data, record, event)
    try:
        return Message(json.loads(record.value, parse_constant=_refuse), record)
    except (ValueError, RecursionError) as error:
        raise PoisonError(f"not JSON: {error}") from error


def _is_event(record: TakenRecord) -> bool:
    headers = dict(record.headers)
    return "ce_specversion" in headers or headers.get("content-type", b"").startswith(STRUCTURED.encode())


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON value")
