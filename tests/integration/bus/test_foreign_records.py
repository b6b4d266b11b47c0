"""Records of other CloudEvents producers on a real broker: read by a consumer, or in the dead letters, with why."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaProducer
from cloudevents.core.bindings import kafka as sdk
from cloudevents.core.v1.event import CloudEvent

from datalab.bus.consumer import Consumer
from datalab.bus.deadletters import KafkaDeadLetters
from datalab.bus.publisher import Publisher, RecordRef
from datalab.bus.reader import read_records
from datalab.bus.retry import RetryPolicy
from schemas.catalog import DEAD_LETTERS
from schemas.envelope import Event
from tests.support.polling import eventually

from .conftest import NewTopic

LEAST = [("ce_specversion", b"1.0"), ("ce_source", b"/shop"), ("ce_type", b"com.example.sold")]


async def write(bootstrap: str, topic: str, records: list[tuple[bytes, list[tuple[str, bytes]]]]) -> None:
    """As any producer would, with nothing of ours."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for value, headers in records:
            await producer.send_and_wait(topic, value=value, headers=headers, key=b"k")


async def read_by_a_new_group(bootstrap: str, publisher: Publisher, topic: str, count: int) -> list[Event]:
    seen: list[Event] = []

    async def handle(event: Event, _: RecordRef) -> None:
        seen.append(event)

    async def enough() -> bool:
        return len(seen) >= count

    stop = asyncio.Event()
    consumer: Consumer[Event] = Consumer(
        bootstrap, f"test-{uuid.uuid4().hex[:8]}", [topic], handle,
        dead_letters=KafkaDeadLetters(publisher), retry=RetryPolicy(attempts=1),
    )  # fmt: skip
    task = asyncio.create_task(consumer.run(stop))
    try:
        await eventually(enough)
    finally:
        stop.set()
        await asyncio.wait_for(task, 60)
    return seen


async def reasons(bootstrap: str, topic: str) -> list[str]:
    found: list[Any] = [dict(record.headers) async for record in read_records(bootstrap, [DEAD_LETTERS])]
    return [headers["dlq_reason"].decode() for headers in found if headers.get("dlq_topic") == topic.encode()]


async def test_what_the_public_sdk_writes_is_read_in_both_modes(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic = await new_topic()
    attributes = {"specversion": "1.0", "source": "/shop", "type": "com.example.sold", "tracestate": "a=b"}
    at = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
    written = [
        to(CloudEvent({**attributes, "id": id_, "time": at}, {"price": "9.90"}))
        for id_, to in (("binary", sdk.to_binary_event), ("structured", sdk.to_structured_event))
    ]
    await write(kafka_bootstrap, topic, [(one.value, list(one.headers.items())) for one in written])

    events = await read_by_a_new_group(kafka_bootstrap, publisher, topic, 2)
    assert [(event.id, event.time, event.data) for event in events] == [
        ("binary", at, {"price": "9.90"}), ("structured", at, {"price": "9.90"}),
    ]  # fmt: skip
    assert [event.extensions for event in events] == [{"tracestate": "a=b"}] * 2


async def test_an_event_without_a_time_has_the_same_one_for_every_group(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic = await new_topic()
    await write(kafka_bootstrap, topic, [(b"{}", [*LEAST, ("ce_id", b"e1")])])

    first = await read_by_a_new_group(kafka_bootstrap, publisher, topic, 1)
    assert first == await read_by_a_new_group(kafka_bootstrap, publisher, topic, 1)


async def test_what_is_not_json_is_in_the_dead_letters_with_the_attribute_at_fault(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic
) -> None:
    topic = await new_topic()
    await write(
        kafka_bootstrap,
        topic,
        [
            (b"<a/>", [*LEAST, ("ce_id", b"e1"), ("content-type", b"application/xml")]),
            (b'{"a": 1, "a": 2}', [*LEAST, ("ce_id", b"e2")]),
            (b"{}", [*LEAST, ("ce_id", b"e3")]),
        ],
    )

    assert [event.id for event in await read_by_a_new_group(kafka_bootstrap, publisher, topic, 1)] == ["e3"]
    assert [reason.partition(":")[0] for reason in await reasons(kafka_bootstrap, topic)] == ["datacontenttype", "data"]
