"""Dead letters: the original record as it was, with the reason and its origin in headers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from datalab.bus.publisher import Publisher, RecordRef, RecordRefusedError
from schemas.catalog import DEAD_LETTERS
from schemas.codec import EncodedRecord

PREFIX = "dlq_"


class DeadLetters(Protocol):
    """Where records go that cannot be handled."""

    async def bury(self, origin: RecordRef, group: str, reason: str, record: EncodedRecord) -> None:
        """Store the record durably; returns only when it is."""


class KafkaDeadLetters:
    """Dead letters on the topic `lab.dead-letters`."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def bury(self, origin: RecordRef, group: str, reason: str, record: EncodedRecord) -> None:
        """Publish the record with `dlq_*` headers: topic, partition, offset, group, reason, at."""
        try:
            await self._publish(origin, group, reason, record)
        except RecordRefusedError as error:
            # With its reason it no longer fits into a record; the original stays where it is until retention.
            left = f"{reason[:1500]}; its {len(record.value)} bytes are left at {origin}: {error}"
            await self._publish(origin, group, left, EncodedRecord(None, b"", []))

    async def _publish(self, origin: RecordRef, group: str, reason: str, record: EncodedRecord) -> None:
        about = {
            "topic": origin.topic,
            "partition": origin.partition,
            "offset": origin.offset,
            "group": group,
            "reason": reason[:2000],
            "at": datetime.now(UTC).isoformat(),
        }
        await self._publisher.publish_record(
            DEAD_LETTERS,
            EncodedRecord(record.key, record.value, [*without_origin(record.headers), *_headers(about)]),
        )


def without_origin(headers: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """The headers of the original record, as they were before it died."""
    return [(name, value) for name, value in headers if not name.startswith(PREFIX)]


def _headers(about: dict[str, object]) -> list[tuple[str, bytes]]:
    # A reason may quote half of a surrogate pair; a letter that cannot be written would hold up its partition.
    return [(PREFIX + name, str(value).encode("utf-8", "backslashreplace")) for name, value in about.items()]
