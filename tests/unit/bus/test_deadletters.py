"""Dead letters keep the record as it was and say why it died."""

from __future__ import annotations

from typing import Any, cast

from datalab.bus.deadletters import KafkaDeadLetters
from datalab.bus.faults import Fault
from datalab.bus.publisher import Publisher, RecordRef
from schemas.codec import EncodedRecord


class Written:
    def __init__(self) -> None:
        self.records: list[EncodedRecord] = []

    async def publish_record(self, _topic: str, record: EncodedRecord, *_: Any) -> None:
        self.records.append(record)


async def test_a_reason_that_is_no_text_is_written_all_the_same() -> None:
    written = Written()
    letters = KafkaDeadLetters(cast(Publisher, written))

    await letters.bury(RecordRef("lab.files", 0, 7), Fault("bridge", "no \ud800 here"), EncodedRecord(b"k", b"v", []))

    assert dict(written.records[0].headers)["dlq_reason"] == rb"no \ud800 here"
