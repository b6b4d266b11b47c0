"""Publishing, reading and topics on a real broker."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from aiokafka import AIOKafkaProducer

from datalab.bus.publisher import Publisher, RecordRef, RecordRefusedError, SyncPublisher
from datalab.bus.reader import read_events, read_records
from datalab.bus.topics import broker_ready, ensure_topics
from schemas.codec import EncodedRecord, encode
from tests.support.polling import eventually

from .conftest import NewTopic, numbered, size, spec


async def ids_on(bootstrap: str, topic: str) -> list[str]:
    return [event.id async for _, event in read_events(bootstrap, [topic])]


async def test_the_answer_says_where_the_event_is(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic = await new_topic(3)
    events = [numbered(number, of) for number in range(4) for of in "abc"]
    refs = await publisher.publish_many(events) and [await publisher.publish(event, topic) for event in events]

    stored = {ref: event async for ref, event in read_events(kafka_bootstrap, [topic])}
    assert [stored[ref] for ref in refs] == events
    assert len({ref.partition for ref, event in stored.items() if event.subject == "a"}) == 1


async def test_events_published_at_once_keep_their_order(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic = await new_topic()
    events = [numbered(number) for number in range(1000)]
    await asyncio.gather(*(publisher.publish(event, topic) for event in events))

    assert await ids_on(kafka_bootstrap, topic) == [event.id for event in events]


async def test_a_record_too_large_is_refused_and_the_next_is_not(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic = await new_topic()
    large = numbered(1).model_copy(update={"data": {**numbered(1).data, "name": "x" * 1_100_000}})
    with pytest.raises(RecordRefusedError):
        await publisher.publish(large, topic)
    after = numbered(2)
    await publisher.publish(after, topic)

    assert await ids_on(kafka_bootstrap, topic) == [after.id]


async def test_flows_publish_without_an_event_loop(kafka_bootstrap: str, new_topic: NewTopic) -> None:
    event = numbered(1)

    def publish() -> None:
        with SyncPublisher(kafka_bootstrap, "flow") as publisher:
            assert publisher.publish(event).topic == "lab.metrics"

    await asyncio.to_thread(publish)
    assert event.id in await ids_on(kafka_bootstrap, "lab.metrics")


async def test_no_broker_is_an_error_in_time_and_one_that_comes_later_is_found(kafka_bootstrap: str) -> None:
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9"):
        async with Publisher("127.0.0.1:9", "test"):
            pass
    async with Publisher("127.0.0.1:9", "test", connect_later=True, request_timeout_s=2) as publisher:
        begun = time.monotonic()
        with pytest.raises(OSError, match=r"127\.0\.0\.1:9|acknowledge"):
            await publisher.publish(numbered(1))
        assert time.monotonic() - begun < 4
    with pytest.raises(RuntimeError, match="async with"):
        await Publisher(kafka_bootstrap, "test").publish(numbered(1))


async def test_an_unknown_topic_is_an_error_in_time(kafka_bootstrap: str) -> None:
    async with Publisher(kafka_bootstrap, "test", request_timeout_s=3) as publisher:
        with pytest.raises(OSError, match=r"no\.such\.topic"):
            await publisher.publish(numbered(1), "no.such.topic")
        assert (await publisher.publish(numbered(1))).topic == "lab.metrics"


async def test_reading_starts_at_a_time_and_passes_over_what_is_no_event(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic = await new_topic(2)
    await publisher.publish(numbered(1), topic)
    await asyncio.sleep(0.01)
    since = datetime.now(UTC)
    await publisher.publish_record(topic, EncodedRecord(None, b"garbage", []))
    after = numbered(2)
    await publisher.publish(after, topic)

    found = [event.id async for _, event in read_events(kafka_bootstrap, [topic], since=since)]
    assert found == [after.id]
    assert len([record async for record in read_records(kafka_bootstrap, [topic])]) == 3


async def test_between_two_times_is_only_what_was_then_although_records_are_not_in_the_order_of_time(
    kafka_bootstrap: str, new_topic: NewTopic
) -> None:
    topic, noon = await new_topic(), datetime.now(UTC).replace(microsecond=0)
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap)
    await producer.start()
    for minute in (-5, 0, -3, 1, 5):
        stamp = int((noon + timedelta(minutes=minute)).timestamp() * 1000)
        await producer.send_and_wait(topic, str(minute).encode(), timestamp_ms=stamp)
    await producer.stop()

    until = noon + timedelta(minutes=5)
    found = [record.value async for record in read_records(kafka_bootstrap, [topic], since=noon, until=until)]
    assert found == [b"0", b"1"]
    assert len([record async for record in read_records(kafka_bootstrap, [topic])]) == 5
    first = await anext(aiter(read_records(kafka_bootstrap, [topic], since=noon, follow=True)))
    assert first.value == b"0"


async def test_following_goes_on_with_what_comes(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic = await new_topic()
    events = [numbered(number) for number in range(3)]
    await publisher.publish(events[0], topic)

    async def first_three() -> list[str]:
        ids: list[str] = []
        async for _, event in read_events(kafka_bootstrap, [topic], follow=True):
            ids.append(event.id)
            if len(ids) == 3:
                break
        return ids

    reading = asyncio.create_task(first_three())
    for event in events[1:]:
        await publisher.publish(event, topic)
    assert await asyncio.wait_for(reading, 60) == [event.id for event in events]


async def test_topics_are_created_once_and_grow(kafka_bootstrap: str, new_topic: NewTopic) -> None:
    topic = await new_topic(1)

    assert await ensure_topics(kafka_bootstrap, [spec(topic, 3, retention_hours=2)]) == []
    await eventually(partial(size, kafka_bootstrap, topic), until=lambda partitions: partitions == 3)
    async with Publisher(kafka_bootstrap, "test") as publisher:
        refs = [await publisher.publish(numbered(1, of), topic) for of in "abcdefghijklmnop"]
    assert {ref.partition for ref in refs} == {0, 1, 2}
    assert await broker_ready(kafka_bootstrap) is None
    assert await broker_ready("127.0.0.1:9") is not None


async def test_many_records_at_once_are_each_where_the_answer_says(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topics = [await new_topic(3), await new_topic()]
    events = [numbered(number, of) for number in range(400) for of in "abcde"]
    large = numbered(1).model_copy(update={"data": {**numbered(1).data, "name": "x" * 1_100_000}})
    middling = numbered(2, "a").model_copy(update={"data": {**numbered(2).data, "of": "a", "name": "x" * 300_000}})
    records = [(topics[number % 2], encode(event)) for number, event in enumerate([*events, large, middling, *events])]
    records.append((topics[0], EncodedRecord(None, b"{}", [])))
    answers = await publisher.publish_all(records)

    assert [type(answer) for answer in answers].count(RecordRefusedError) == 1
    assert isinstance(answers[len(events)], RecordRefusedError)
    stored = {(r.topic, r.partition, r.offset): (r.key, r.value) async for r in read_records(kafka_bootstrap, topics)}
    published = [
        (answer, record) for answer, (_, record) in zip(answers, records, strict=True) if isinstance(answer, RecordRef)
    ]
    assert len(stored) == len(published)
    assert all(stored[tuple(answer)] == (record.key, record.value) for answer, record in published)
    # As many of one key as there are keep their order, and lie where single ones would.
    for topic in topics:
        for key in {record.key for _, record in published if record.key is not None}:
            places = [answer for answer, record in published if answer.topic == topic and record.key == key]
            assert places == sorted(places)
            single = await publisher.publish_record(topic, EncodedRecord(key, b"{}", []))
            assert {place.partition for place in places} <= {single.partition}


async def test_many_records_without_a_broker_or_a_topic_are_refused_in_time(
    kafka_bootstrap: str,
) -> None:
    records = [("lab.metrics", encode(numbered(number))) for number in range(20)]
    async with Publisher("127.0.0.1:9", "test", connect_later=True, request_timeout_s=1) as away:
        assert all(isinstance(answer, OSError) for answer in await away.publish_all(records))
    async with Publisher(kafka_bootstrap, "test", request_timeout_s=4) as publisher:
        lost = [("no.such.topic", record) for _, record in records]
        assert all(isinstance(answer, OSError) for answer in await publisher.publish_all(lost))
        assert all(isinstance(answer, RecordRef) for answer in await publisher.publish_all(records))
