"""What a look at the bus says about topics and groups on a real broker, and how soon it gives up without one."""

from __future__ import annotations

import os
import socket
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer

from datalab.bus.batch import Batch
from datalab.bus.inspection import inspect_bus, topic_names
from datalab.bus.publisher import Publisher
from datalab.bus.reader import read_records
from schemas.catalog import topics
from schemas.codec import EncodedRecord

from .conftest import NewTopic


async def put(publisher: Publisher, topic: str, count: int, partition: int) -> None:
    for number in range(count):
        await publisher.publish_record(topic, EncodedRecord(None, str(number).encode(), []), partition)


async def test_topics_with_partitions_records_and_ends(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic = await new_topic(partitions=3)
    await put(publisher, topic, 4, partition=0)
    await put(publisher, topic, 2, partition=2)

    view = (await inspect_bus(kafka_bootstrap)).topics

    assert {spec.name: spec.partitions for spec in topics()}.items() <= {n: t.size for n, t in view.items()}.items()
    assert [(p.number, p.begin, p.end) for p in view[topic].partitions] == [(0, 0, 4), (1, 0, 0), (2, 0, 2)]
    assert (view[topic].records, view[topic].leaderless) == (6, ())
    assert not [name for name in view if name.startswith("__")], "Kafka's own topics are left out"
    assert await topic_names(kafka_bootstrap) == sorted(view)


async def test_the_bytes_of_a_topic_are_those_of_its_records_on_disk(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic, empty = await new_topic(partitions=3), await new_topic(partitions=1)
    for partition in (0, 2):
        # Nothing that could be compressed.
        await publisher.publish_record(topic, EncodedRecord(None, os.urandom(50_000), []), partition)

    view = (await inspect_bus(kafka_bootstrap)).topics

    assert view[empty].size_bytes == 0
    assert view[topic].size_bytes == pytest.approx(100_000, abs=1_000)


async def test_the_lag_of_a_group_counts_what_it_has_not_committed(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic, group = await new_topic(partitions=2), f"test-{uuid.uuid4().hex[:8]}"
    await put(publisher, topic, 5, partition=0)
    async with Batch(kafka_bootstrap, group, topic) as batch:
        await batch.take(3, idle_s=5)
        await batch.commit()
    await put(publisher, topic, 4, partition=1)

    view = await inspect_bus(kafka_bootstrap)

    # Two are left of the first partition, and all four of the one that the group has never committed.
    [lag] = [lag for lag in view.groups if (lag.group, lag.topic) == (group, topic)]
    assert lag.lag == 6
    assert lag.oldest_unread is not None
    assert lag.oldest_unread == await stored(kafka_bootstrap, topic, partition=0, offset=3)
    assert view.topics[topic].recent == 9


async def test_records_of_hours_ago_are_not_recent_and_the_oldest_unread_is_as_old_as_it_is(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic, group = await new_topic(partitions=1), f"test-{uuid.uuid4().hex[:8]}"
    then = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap)
    await producer.start()
    for number in range(3):
        await producer.send_and_wait(topic, str(number).encode(), timestamp_ms=int(then.timestamp() * 1000) + number)
    await producer.stop()
    await put(publisher, topic, 2, partition=0)
    async with Batch(kafka_bootstrap, group, topic) as batch:
        await batch.take(1, idle_s=5)
        await batch.commit()

    view = await inspect_bus(kafka_bootstrap)

    assert (view.topics[topic].records, view.topics[topic].recent) == (5, 2)
    [lag] = [lag for lag in view.groups if lag.group == group]
    assert (lag.lag, lag.oldest_unread) == (4, then + timedelta(milliseconds=1))

    async with Batch(kafka_bootstrap, group, topic) as batch:
        await batch.take(4, idle_s=5)
        await batch.commit()
    [lag] = [lag for lag in (await inspect_bus(kafka_bootstrap)).groups if lag.group == group]
    assert (lag.lag, lag.oldest_unread) == (0, None)


async def stored(bootstrap: str, topic: str, partition: int, offset: int) -> datetime:
    """When a record was stored, as a reader is told."""
    async for record in read_records(bootstrap, [topic]):
        if (record.partition, record.offset) == (partition, offset):
            return datetime.fromtimestamp(record.timestamp / 1000, UTC)
    raise LookupError(f"{topic}-{partition} has no offset {offset}")


async def test_no_broker_and_one_that_never_answers_are_told_apart_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(TimeoutError, match=r"did not describe its topics within 0\.5 s"):
            await inspect_bus(address, deadline_s=0.5)
        with pytest.raises(TimeoutError, match=r"did not list its topics within 0\.5 s"):
            await topic_names(address, deadline_s=0.5)
        assert time.monotonic() - started < 3
    for look in (inspect_bus, topic_names):
        with pytest.raises(ConnectionError, match=f"no Kafka broker answers at {address}"):
            await look(address)
