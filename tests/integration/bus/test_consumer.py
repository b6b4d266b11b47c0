"""Consumers on a real broker: offsets, retries, dead letters, sharing."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from datalab.bus.consumer import Consumer
from datalab.bus.deadletters import KafkaDeadLetters, without_origin
from datalab.bus.publisher import Publisher, RecordRef
from datalab.bus.reader import read_records
from datalab.bus.retry import PermanentError, RetryPolicy
from schemas.catalog import DEAD_LETTERS
from schemas.codec import EncodedRecord, encode
from schemas.envelope import Event
from tests.support.polling import eventually

from .conftest import NewTopic, numbered

FAST = RetryPolicy(attempts=3, first_s=0.01, longest_s=0.05)


class Recorder:
    """A handler that notes what it was given and then does what the test says."""

    def __init__(self, then: Callable[[Event], Awaitable[None]] | None = None) -> None:
        self.seen: list[float] = []
        self._then = then

    async def __call__(self, event: Event, ref: RecordRef) -> None:
        self.seen.append(event.data["value"])
        if self._then is not None:
            await self._then(event)

    async def count(self) -> int:
        return len(self.seen)


class Group:
    """Members of one group on one topic."""

    def __init__(self, bootstrap: str, publisher: Publisher, topic: str) -> None:
        self._bootstrap, self._publisher, self._topic = bootstrap, publisher, topic
        self.name = f"test-{uuid.uuid4().hex[:8]}"

    def member(self, handler: Recorder) -> Consumer:
        dead_letters = KafkaDeadLetters(self._publisher)
        return Consumer(self._bootstrap, self.name, [self._topic], handler, dead_letters=dead_letters, retry=FAST)

    @asynccontextmanager
    async def running(self, handler: Recorder) -> AsyncIterator[asyncio.Event]:
        """A member at work; stopped in order at the end. Yields its stop event."""
        stop = asyncio.Event()
        task = asyncio.create_task(self.member(handler).run(stop))
        try:
            yield stop
        finally:
            stop.set()
            await asyncio.wait_for(task, 60)


@pytest.fixture
def group(kafka_bootstrap: str, publisher: Publisher) -> Callable[[str], Group]:
    return lambda topic: Group(kafka_bootstrap, publisher, topic)


async def dead_letters_of(bootstrap: str, topic: str) -> list[Any]:
    records = [record async for record in read_records(bootstrap, [DEAD_LETTERS])]
    return [record for record in records if dict(record.headers).get("dlq_topic") == topic.encode()]


async def put(publisher: Publisher, topic: str, numbers: range, of: str = "a") -> list[Event]:
    events = [numbered(number, of) for number in numbers]
    for event in events:
        await publisher.publish(event, topic)
    return events


async def test_an_event_is_seen_again_until_its_handler_has_returned(
    publisher: Publisher, new_topic: NewTopic, group: Callable[[str], Group]
) -> None:
    topic = await new_topic()
    await put(publisher, topic, range(1))
    members = group(topic)

    async def never(_: Event) -> None:
        await asyncio.Event().wait()

    killed = Recorder(never)
    task = asyncio.create_task(members.member(killed).run(asyncio.Event()))
    await eventually(killed.count)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    second = Recorder()
    async with members.running(second):
        await eventually(second.count)
    third = Recorder()
    async with members.running(third):
        await put(publisher, topic, range(1, 2))
        await eventually(third.count)

    assert (killed.seen, second.seen, third.seen) == ([0], [0], [1])


async def test_a_failing_handler_is_tried_again_before_the_next_event(
    publisher: Publisher, new_topic: NewTopic, group: Callable[[str], Group]
) -> None:
    topic = await new_topic()
    await put(publisher, topic, range(3))
    failures = iter([ValueError("once"), ConnectionError("twice")])

    async def fail(event: Event) -> None:
        if event.data["value"] == 1 and (error := next(failures, None)) is not None:
            raise error

    handler = Recorder(fail)
    async with group(topic).running(handler):
        await eventually(handler.count, until=lambda count: count == 5)

    assert handler.seen == [0, 1, 1, 1, 2]


async def test_an_outage_is_waited_out_and_buries_nothing(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic, group: Callable[[str], Group]
) -> None:
    topic = await new_topic()
    await put(publisher, topic, range(1))
    left = 10

    async def fail(_: Event) -> None:
        nonlocal left
        left -= 1
        if left:
            raise ConnectionError("away")

    handler = Recorder(fail)
    async with group(topic).running(handler):
        await eventually(handler.count, until=lambda count: count == 10)

    assert await dead_letters_of(kafka_bootstrap, topic) == []


@pytest.mark.parametrize(
    ("error", "tries", "reason"),
    [(PermanentError("no such deployment"), 1, "no such deployment"), (ValueError("always"), FAST.attempts, "always")],
)
async def test_what_cannot_be_handled_lies_in_the_dead_letters_with_its_origin(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic, group: Callable[[str], Group],
    error: Exception, tries: int, reason: str,
) -> None:  # fmt: skip
    topic = await new_topic()
    (event, _) = await put(publisher, topic, range(2))

    async def fail(event: Event) -> None:
        if event.data["value"] == 0:
            raise error

    handler, members = Recorder(fail), group(topic)
    async with members.running(handler):
        await eventually(handler.count, until=lambda count: count == tries + 1)

    (letter,) = await dead_letters_of(kafka_bootstrap, topic)
    headers = dict(letter.headers)
    assert headers["dlq_reason"].decode() == f"{type(error).__name__}: {reason}"
    assert (headers["dlq_partition"], headers["dlq_offset"]) == (b"0", b"0")
    assert (headers["dlq_group"], bool(headers["dlq_at"])) == (members.name.encode(), True)
    assert EncodedRecord(letter.key, letter.value, without_origin(letter.headers)) == encode(event)
    assert handler.seen == [0] * tries + [1]


async def test_a_record_that_is_no_event_lies_in_the_dead_letters_as_it_was(
    kafka_bootstrap: str, publisher: Publisher, new_topic: NewTopic, group: Callable[[str], Group]
) -> None:
    topic = await new_topic()
    garbage = EncodedRecord(b"\xff", b"\x00not json", [("ce_id", b"\xff"), ("own", b"kept")])
    await publisher.publish_record(topic, garbage)
    await put(publisher, topic, range(1))

    handler = Recorder()
    async with group(topic).running(handler):
        await eventually(handler.count)

    (letter,) = await dead_letters_of(kafka_bootstrap, topic)
    assert EncodedRecord(letter.key, letter.value, without_origin(letter.headers)) == garbage
    assert handler.seen == [0]


async def test_a_stop_within_a_batch_leaves_the_rest_for_the_next_member(
    publisher: Publisher, new_topic: NewTopic, group: Callable[[str], Group]
) -> None:
    topic = await new_topic()
    await put(publisher, topic, range(10))
    members = group(topic)
    stop = asyncio.Event()

    async def stop_at_four(event: Event) -> None:
        if event.data["value"] == 4:
            stop.set()
            raise ConnectionError("away")

    first = Recorder(stop_at_four)
    await asyncio.wait_for(members.member(first).run(stop), 60)
    second = Recorder()
    async with members.running(second):
        await eventually(second.count, until=lambda count: count == 6)

    assert (first.seen, second.seen) == ([0, 1, 2, 3, 4], [4, 5, 6, 7, 8, 9])


async def test_two_members_share_the_partitions_and_handle_each_event_once(
    publisher: Publisher, new_topic: NewTopic, group: Callable[[str], Group]
) -> None:
    topic = await new_topic(2)
    members = group(topic)
    handled: list[str] = []

    async def note(event: Event) -> None:
        handled.append(event.id)

    one, two = Recorder(note), Recorder(note)
    first: list[Event] = []
    async with members.running(one), members.running(two):
        # Both are at work once each has seen one of the keys. Until then what one has done may be seen by the other.
        async def both() -> bool:
            for of in "abcdefgh":
                first.extend(await put(publisher, topic, range(1), of))
            return bool(one.seen and two.seen)

        async def seen() -> set[str]:
            return set(handled)

        await eventually(both)
        await eventually(seen, until=lambda ids: ids >= {event.id for event in first})
        later = [event.id for of in "abcdefgh" for event in await put(publisher, topic, range(1, 11), of)]
        await eventually(seen, until=lambda ids: ids >= set(later))

    assert sorted(id_ for id_ in handled if id_ in later) == sorted(later)


async def test_a_member_without_a_partition_is_ready_all_the_same(
    new_topic: NewTopic, group: Callable[[str], Group]
) -> None:
    members = group(await new_topic(1))
    consumers = [members.member(Recorder()) for _ in range(2)]
    assert await consumers[0].check() == "consumer: has not joined its group yet"
    stop = asyncio.Event()
    tasks = [asyncio.create_task(consumer.run(stop)) for consumer in consumers]

    async def reasons() -> list[str | None]:
        return [await consumer.check() for consumer in consumers]

    await eventually(reasons, until=lambda reasons: reasons == [None, None])
    stop.set()
    await asyncio.gather(*tasks)


async def test_a_broker_that_is_away_is_said_and_waited_for(publisher: Publisher) -> None:
    members = Group("127.0.0.1:9", publisher, "lab.files")
    consumer, stop = members.member(Recorder()), asyncio.Event()
    task = asyncio.create_task(consumer.run(stop))

    async def reason() -> str | None:
        return await consumer.check()

    await eventually(reason, until=lambda reason: "127.0.0.1:9" in str(reason) or "bootstrap" in str(reason).lower())
    stop.set()
    await asyncio.wait_for(task, 60)
