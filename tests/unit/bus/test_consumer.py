"""What the consumer commits and when, what it counts, and when it takes another connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from datalab.bus.consumer import Consumer
from datalab.bus.deadletters import DeadLetters
from datalab.bus.faults import Fault
from datalab.bus.membership import Silence
from datalab.bus.offsets import Offsets
from datalab.bus.publisher import RecordRef
from datalab.bus.retry import RetryPolicy
from schemas.codec import EncodedRecord, encode
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

    async def commit(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        self.offsets.append({tp: offset for tp, (offset, _) in offsets.items()})


async def test_told_to_stop_it_commits_what_is_done_and_leaves_the_rest() -> None:
    stop, handled, kafka = asyncio.Event(), list[int](), Committed()

    async def handle(_: Event, ref: RecordRef) -> None:
        handled.append(ref.offset)
        if ref.offset == 1:
            stop.set()

    consumer = Consumer("127.0.0.1:1", "test", ["lab.metrics"], handle, dead_letters=cast(DeadLetters, None))
    records: list[Any] = [Record(offset) for offset in range(5)]
    await consumer._partition(Offsets(cast(Any, kafka), "test", 0.0), PARTITION, records, stop)

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
    offsets = Offsets(cast(Any, kafka), "test", 0.0)
    for numbers in ([0, 1, 2], [3, 4], [5]):
        records: list[Any] = [Record(offset) for offset in numbers]
        await consumer._partition(offsets, PARTITION, records, asyncio.Event())

    assert seen == ["ahead [0, 1, 2]", "handled 1", "ahead [3, 4]", "handled 3", "handled 4", "handled 5"]
    assert kafka.offsets == [{PARTITION: 3}, {PARTITION: 5}, {PARTITION: 6}]


async def test_under_load_the_broker_is_told_at_once_and_then_only_when_time_has_passed_or_nothing_is_left() -> None:
    kafka = Committed()
    offsets = Offsets(cast(Any, kafka), "test", 60.0)
    for following in (1, 2, 3):
        await offsets.done(PARTITION, following)
    assert kafka.offsets == [{PARTITION: 1}]
    await offsets.flush()
    await offsets.flush()
    assert kafka.offsets == [{PARTITION: 1}, {PARTITION: 3}]


class Broker(Committed):
    """What a group keeps: the offset and the note beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[TopicPartition, Any] = {}
        self._coordinator = self

    async def commit(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        await super().commit(offsets)
        self.kept |= {tp: OffsetAndMetadata(offset, note) for tp, (offset, note) in offsets.items()}

    async def fetch_committed_offsets(self, _: Sequence[TopicPartition]) -> Mapping[TopicPartition, Any]:
        return self.kept


class Letters:
    def __init__(self) -> None:
        self.faults: list[Fault] = []

    async def bury(self, _: RecordRef, fault: Fault, __: EncodedRecord) -> None:
        self.faults.append(fault)


async def test_who_takes_a_partition_over_goes_on_counting_failures_and_outages_do_not_count() -> None:
    broker, letters, stop = Broker(), Letters(), asyncio.Event()
    errors = iter([ConnectionError("away"), ValueError("1"), ValueError("2"), ConnectionError("away"), ValueError("3")])

    async def fail(_: Event, ref: RecordRef) -> None:
        if ref.offset == 1:
            error = next(errors)
            if str(error) == "2":
                stop.set()  # the member goes in the middle of its tries
            raise error

    retry = RetryPolicy(attempts=3, first_s=0.0)
    for member_stop in (stop, asyncio.Event()):
        member = Consumer("127.0.0.1:1", "test", ["lab.metrics"], fail, dead_letters=letters, retry=retry)
        at = broker.kept[PARTITION].offset if broker.kept else 0
        records: list[Any] = [Record(offset) for offset in range(at, 3)]
        await member._partition(Offsets(cast(Any, broker), "test", 0.0), PARTITION, records, member_stop)

    assert [(f.reason, f.error_class, f.attempts) for f in letters.faults] == [("ValueError: 3", "ValueError", 3)]
    assert broker.kept[PARTITION] == OffsetAndMetadata(3, "")


class Quiet:
    """A consumer that hides that its broker is gone."""

    def __init__(self, answered_ago_s: float) -> None:
        self._answered = (time.time() - answered_ago_s) * 1000

    def assignment(self) -> set[TopicPartition]:
        return {PARTITION}

    def last_poll_timestamp(self, _: TopicPartition) -> float:
        return self._answered

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0)
        return {}

    def highwater(self, _: TopicPartition) -> None:
        return None


async def test_a_connection_on_which_nobody_answers_is_given_up() -> None:
    async def handle(_: Event, __: RecordRef) -> None: ...

    consumer = Consumer("127.0.0.1:1", "test", ["lab.metrics"], handle, dead_letters=Letters(), silence_s=0.05)
    quiet = cast(Any, Quiet(answered_ago_s=300))
    with pytest.raises(ConnectionError, match="the broker has not answered for"):
        await asyncio.wait_for(consumer._consume(quiet, Offsets(quiet, "test", 0.0), asyncio.Event()), 10)


def test_while_earlier_records_are_handled_the_broker_owes_no_answer() -> None:
    silence = Silence(cast(Any, Quiet(answered_ago_s=300)))
    assert silence.after_poll(found=True) == 0.0
    assert silence.after_poll(found=False) < 1.0, "it has just been asked again"
