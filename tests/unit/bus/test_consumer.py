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


async def test_what_lies_ahead_is_shown_before_and_a_failure_of_that_costs_nothing() -> None:
    seen: list[str] = []

    async def prepare(batch: Sequence[tuple[Event, RecordRef]]) -> None:
        seen.append(f"ahead {[ref.offset for _, ref in batch]}")
        raise ConnectionError("away")

    async def handle(_: Event, ref: RecordRef) -> None:
        seen.append(f"handled {ref.offset}")

    dead = cast(DeadLetters, None)
    consumer = Consumer("127.0.0.1:1", "test", ["lab.metrics"], handle, prepare=prepare, dead_letters=dead)
    kafka = Committed()
    await consumer._partition(cast(Any, kafka), PARTITION, cast(Any, [Record(0), Record(1)]), asyncio.Event())
    await consumer._partition(cast(Any, kafka), PARTITION, cast(Any, [Record(2)]), asyncio.Event())

    assert seen == ["ahead [0, 1]", "handled 0", "handled 1", "handled 2"]
    assert kafka.offsets == [{PARTITION: 2}, {PARTITION: 3}]
