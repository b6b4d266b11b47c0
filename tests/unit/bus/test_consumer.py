"""What the consumer commits when it is told to stop in the middle of a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from aiokafka import TopicPartition

from datalab.bus.consumer import Consumer
from datalab.bus.deadletters import DeadLetters
from datalab.bus.publisher import RecordRef
from schemas.codec import encode
from schemas.envelope import Event, new_event
from schemas.metrics import MetricSampled

PARTITION = TopicPartition("lab.metrics", 0)
SAMPLE = encode(new_event(MetricSampled(of="t", name="rows", value=1, unit="1"), source="t", time=datetime.now(UTC)))


class Record(NamedTuple):
    offset: int
    topic: str = PARTITION.topic
    partition: int = PARTITION.partition
    key: bytes | None = SAMPLE.key
    value: bytes = SAMPLE.value
    headers: list[tuple[str, bytes]] = SAMPLE.headers
    timestamp: int = 1_772_442_900_000


class Committed:
    def __init__(self) -> None:
        self.offsets: list[Mapping[TopicPartition, int]] = []

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.offsets.append(offsets)


async def test_told_to_stop_it_commits_what_is_done_and_leaves_the_rest() -> None:
    stop, handled, kafka = asyncio.Event(), list[int](), Committed()

    async def handle(_: Event, ref: RecordRef) -> None:
        handled.append(ref.offset)
        if ref.offset == 1:
            stop.set()

    consumer = Consumer("127.0.0.1:1", "test", ["lab.metrics"], handle, dead_letters=cast(DeadLetters, None))
    records: list[Any] = [Record(offset) for offset in range(5)]
    await consumer._partition(cast(Any, kafka), PARTITION, records, stop)

    assert handled == [0, 1]
    assert kafka.offsets == [{PARTITION: 2}]


async def test_what_was_done_ahead_is_not_handled_and_a_failure_of_that_costs_nothing() -> None:
    seen: list[str] = []
    fails = iter([False, True])

    async def prepare(batch: Sequence[tuple[Event, RecordRef]]) -> set[RecordRef]:
        seen.append(f"ahead {[ref.offset for _, ref in batch]}")
        if next(fails):
            raise ConnectionError("away")
        return {ref for _, ref in batch if ref.offset != 1}

    async def handle(_: Event, ref: RecordRef) -> None:
        seen.append(f"handled {ref.offset}")

    dead = cast(DeadLetters, None)
    consumer = Consumer("127.0.0.1:1", "test", ["lab.metrics"], handle, prepare=prepare, dead_letters=dead)
    kafka = Committed()
    for offsets in ([0, 1, 2], [3, 4], [5]):
        records: list[Any] = [Record(offset) for offset in offsets]
        await consumer._partition(cast(Any, kafka), PARTITION, records, asyncio.Event())

    assert seen == ["ahead [0, 1, 2]", "handled 1", "ahead [3, 4]", "handled 3", "handled 4", "handled 5"]
    assert kafka.offsets == [{PARTITION: 3}, {PARTITION: 5}, {PARTITION: 6}]
