"""Dead letters: the original record as it was, with the reason and its origin in headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from datalab.bus.faults import Fault
from datalab.bus.publisher import Publisher, RecordRef, RecordRefusedError
from schemas.catalog import DEAD_LETTERS
from schemas.codec import EncodedRecord

PREFIX = "dlq_"
# As Kafka Connect names them, for the tools that show such headers.
CONNECT_PREFIX = "__connect.errors."
_CONNECT_STAGES = {"decode": "VALUE_CONVERTER", "handle": "TASK_PUT"}
_LONGEST_REASON = 2000
_IDENTITY, _LONGEST_ID = frozenset({"ce_id", "ce_type", "ce_source"}), 2048


class DeadLetters(Protocol):
    """Where records go that cannot be handled."""

    async def bury(self, origin: RecordRef, fault: Fault, record: EncodedRecord) -> None:
        """Store the record durably; returns only when it is."""


class KafkaDeadLetters:
    """Dead letters on the topic `lab.dead-letters`."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def bury(self, origin: RecordRef, fault: Fault, record: EncodedRecord) -> None:
        """Publish the record with what is known of its death, twice: in our words, and in those of Kafka Connect."""
        try:
            await self._publish(origin, fault, record)
        except RecordRefusedError as error:
            # With its reason it no longer fits into a record; the original stays where it is until retention.
            reason = f"{fault.reason[:1500]}; its {len(record.value)} bytes are left at {origin}: {error}"
            left = [(PREFIX + "left", str(len(record.value)).encode())]
            # Its own headers may be what is too large, but for those that tell which event it is.
            known = [(name, value) for name, value in record.headers if name in _IDENTITY and len(value) <= _LONGEST_ID]
            await self._publish(origin, replace(fault, reason=reason), EncodedRecord(None, b"", known), left)

    async def _publish(
        self, origin: RecordRef, fault: Fault, record: EncodedRecord, more: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        headers = [*without_origin(record.headers), *more, *_about(origin, fault)]
        await self._publisher.publish_record(DEAD_LETTERS, EncodedRecord(record.key, record.value, headers))


def _about(origin: RecordRef, fault: Fault) -> list[tuple[str, bytes]]:
    reason = fault.reason[:_LONGEST_REASON]
    ours = {
        "topic": origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
        "group": fault.group,
        "reason": reason,
        "at": datetime.now(UTC).isoformat(),
        "stage": fault.stage,
        "error": fault.error_class,
        "attempts": fault.attempts,
        "subjects": ",".join(fault.subjects),
    }
    connect = {
        "topic": origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
        "connector.name": fault.group,
        "stage": _CONNECT_STAGES[fault.stage],
        "exception.class.name": fault.error_class,
        "exception.message": reason,
    }
    return [*_headers(PREFIX, ours), *_headers(CONNECT_PREFIX, connect)]


def without_origin(headers: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """The headers of the original record, as they were before it died."""
    return [(name, value) for name, value in headers if not name.startswith((PREFIX, CONNECT_PREFIX))]


def _headers(prefix: str, about: dict[str, object]) -> list[tuple[str, bytes]]:
    # A reason may quote half of a surrogate pair; a letter that cannot be written would hold up its partition.
    return [(prefix + name, str(value).encode("utf-8", "backslashreplace")) for name, value in about.items()]
