"""A bounded batch on a real broker: what is taken, when it ends, and what a commit does."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path

import pytest

from datalab.bus.batch import Batch
from datalab.bus.publisher import Publisher
from datalab.bus.topics import ensure_topics
from schemas.codec import EncodedRecord
from tests.support.lab_parts import lab_parts

from .conftest import NewTopic, spec


def a_group() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


async def put(publisher: Publisher, topic: str, numbers: range, partition: int | None = None) -> None:
    for number in numbers:
        await publisher.publish_record(topic, EncodedRecord(None, str(number).encode(), [("h", b"1")]), partition)


async def test_a_batch_has_at_most_the_limit_and_goes_on_there(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic, group = await new_topic(), a_group()
    await put(publisher, topic, range(7))
    async with Batch(kafka_bootstrap, group, topic) as batch:
        first = await batch.take(3, idle_s=5)
        assert await batch.commit() == []
        second = await batch.take(3, idle_s=5)
        assert await batch.commit() == []
    async with Batch(kafka_bootstrap, group, topic) as batch:
        third = await batch.take(3, idle_s=0)

    assert [[r.value for r in records] for records in (first, second, third)] == [
        [b"0", b"1", b"2"],
        [b"3", b"4", b"5"],
        [b"6"],
    ]
    assert (str(first[1].ref), first[1].headers) == (f"{topic}[0]@1", [("h", b"1")])
    assert abs(first[0].timestamp_ms / 1000 - time.time()) < 60


async def test_what_is_not_committed_is_taken_again(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic, group = await new_topic(), a_group()
    await put(publisher, topic, range(3))
    taken = []
    for _ in range(2):
        async with Batch(kafka_bootstrap, group, topic) as batch:
            taken.append(await batch.take(10, idle_s=0))
    assert taken[0] == taken[1]
    assert len(taken[0]) == 3


async def test_a_drained_topic_is_waited_for_and_no_longer_than_said(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic = await new_topic()
    async with Batch(kafka_bootstrap, a_group(), topic) as batch:
        assert await batch.take(10, idle_s=0) == []
        started = time.monotonic()
        assert await batch.take(10, idle_s=1) == []
        assert 1 <= time.monotonic() - started < 5
        waiting = asyncio.create_task(batch.take(1, idle_s=30))
        await put(publisher, topic, range(1))
        assert len(await waiting) == 1, "a message that comes in time is taken at once"


async def test_a_second_member_takes_nothing_twice_and_commits_nothing_of_the_first(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic, group = await new_topic(partitions=2), a_group()
    for partition in (0, 1):
        await put(publisher, topic, range(2), partition)
    async with Batch(kafka_bootstrap, group, topic) as first:
        assert len(await first.take(4, idle_s=5)) == 4
        async with Batch(kafka_bootstrap, group, topic) as second:
            # The rebalance gives one partition away, which starts again at what is committed: nothing.
            repeated = await second.take(2, idle_s=30)
            assert len({record.ref.partition for record in repeated}) == 1
            assert await second.commit() == []
        lost = await first.commit()
        assert lost == [str(repeated[0].ref.partition)] or lost == []
        assert await first.take(10, idle_s=1) == [], "a partition that comes back is not taken twice"


async def test_a_broker_that_goes_away_is_an_error_and_not_an_empty_topic(tmp_path: Path) -> None:
    with lab_parts(tmp_path / "kafka", ["topics"]) as state:
        address = f"127.0.0.1:{state.parts['kafka'].ports['kafka']}"
        await ensure_topics(address, [spec("t")])
        async with Publisher(address, "test") as publisher:
            await put(publisher, "t", range(2))
        batch = Batch(address, "g", "t")
        assert len(await batch.take(1, idle_s=5)) == 1
    async with batch:
        # One is taken already; with the broker gone, nobody can say that there is no second one.
        with pytest.raises((ConnectionError, TimeoutError)):
            await batch.take(3, idle_s=0)
    with pytest.raises(ConnectionError, match="does not answer about t"):
        await Batch(address, "g", "t").take(1, idle_s=0)
