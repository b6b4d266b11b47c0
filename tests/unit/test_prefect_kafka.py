"""Prefect's broker of ours: what it puts on Kafka, and what it does while Kafka is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Self

from prefect.server.utilities.messaging import BrokerModule, CacheModule
from prefect.server.utilities.messaging.memory import MemoryMessage, Topic

import datalab.prefect_kafka
from datalab.bus.publisher import RecordRef, RecordRefusedError
from datalab.bus.retry import RetryPolicy
from datalab.prefect_kafka.consumer import Consumer, deliver, waits_for
from datalab.prefect_kafka.forwarder import Forwarder
from datalab.prefect_kafka.gathering import Gathering, Told, told, whose
from datalab.prefect_kafka.publisher import as_record
from schemas.codec import EncodedRecord
from tests.support.polling import eventually


class Kafka:
    """Takes records, unless it is away or refuses them."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.away, self.refused, self.asked = False, b"none", 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def seen(self) -> list[bytes]:
        return self.taken

    async def tried(self) -> int:
        return self.asked

    async def publish_all(self, records: Sequence[tuple[str, EncodedRecord]]) -> list[RecordRef | Exception]:
        self.asked += 1
        return [self._take(topic, record) for topic, record in records]

    def _take(self, topic: str, record: EncodedRecord) -> RecordRef | Exception:
        if self.away:
            return ConnectionError("away")
        if record.value == self.refused:
            return RecordRefusedError("too large")
        self.taken.append(record.value)
        return RecordRef(topic, 0, len(self.taken))


def forwarder(kafka: Kafka, most_waiting: int = 100) -> Forwarder:
    return Forwarder(kafka, most_waiting=most_waiting, retry=RetryPolicy(first_s=0.01, longest_s=0.01))


def record(number: int) -> EncodedRecord:
    return EncodedRecord(b"run", str(number).encode(), [])


def test_it_is_what_prefect_takes_for_a_broker_and_a_cache() -> None:
    assert isinstance(datalab.prefect_kafka, BrokerModule)
    assert isinstance(datalab.prefect_kafka, CacheModule)


def test_an_event_is_keyed_by_its_resource_and_left_as_it_is() -> None:
    data = json.dumps({"resource": {"prefect.resource.id": "prefect.flow-run.1"}}).encode()
    made = as_record(data, {"id": "i", "event": "prefect.flow-run.Running"})
    assert (made.key, made.value) == (b"prefect.flow-run.1", data)
    assert ("prefect_event", b"prefect.flow-run.Running") in made.headers
    assert as_record(b"{}", {}).key is None


async def test_events_arrive_in_order() -> None:
    kafka = Kafka()
    carrying = forwarder(kafka)
    for number in range(50):
        carrying.offer(record(number))
    await eventually(kafka.seen, until=lambda taken: len(taken) == 50)
    await carrying.close()
    assert kafka.taken == [str(number).encode() for number in range(50)]


async def test_the_newest_wait_while_kafka_is_away_and_go_out_when_it_is_back() -> None:
    kafka = Kafka()
    kafka.away = True
    carrying = forwarder(kafka, most_waiting=3)
    carrying.offer(record(0))
    await eventually(kafka.tried, until=lambda times: times > 1)
    for number in range(1, 10):
        carrying.offer(record(number))
    kafka.away = False
    await eventually(kafka.seen, until=lambda taken: b"9" in taken)
    await carrying.close()
    assert kafka.taken == [b"0", b"7", b"8", b"9"]


async def test_a_record_that_kafka_refuses_does_not_stop_those_after_it() -> None:
    kafka = Kafka()
    kafka.refused = b"1"
    carrying = forwarder(kafka)
    for number in range(3):
        carrying.offer(record(number))
    await eventually(kafka.seen, until=lambda taken: b"2" in taken)
    await carrying.close()
    assert kafka.taken == [b"0", b"2"]


def test_a_record_is_read_as_it_was_written_and_says_whose_services_it_waits_for() -> None:
    attributes = {"id": "i", "event": "prefect.flow-run.Scheduled"}
    assert told(*as_record(b"{}", attributes)) == (b"{}", attributes, "")
    assert told(*as_record(b"{}", attributes, "us")) == (b"{}", attributes, "us")
    assert told(None, None, [("traceparent", b"x")]) == (b"", {}, "")


async def test_only_what_waits_for_these_services_is_handed_on() -> None:
    given: list[bytes] = []

    async def deliver(data: bytes, _: dict[str, str]) -> None:
        given.append(data)

    gathering = Gathering("127.0.0.1:9", "us", deliver)
    for event in (
        Told(b"its own server has it", {"id": "1"}, ""),
        Told(b"ours", {"id": "2"}, "us"),
        Told(b"of another Prefect on the same broker", {"id": "3"}, "them"),
        Told(b"no event", {}, "us"),
    ):
        await gathering.take(event, RecordRef("t", 0, 0))
    assert given == [b"ours"]


def test_servers_on_one_database_are_one_prefect_and_its_name_gives_nothing_away() -> None:
    url = "postgresql+asyncpg://{}@/prefect?host={}"
    ours = whose(url.format("me:secret", "/run/a"))
    assert ours == whose(url.format("other:word", "/run/a")) != whose(url.format("me:secret", "/run/b"))
    assert len(ours) == 12


async def test_services_get_an_event_of_another_server_once_and_wait_their_turn() -> None:
    topic = Topic.by_name("events")
    reader = topic.subscribe()
    try:
        await deliver(b"{}", {"id": "some-event"})
        await deliver(b"{}", {"id": "some-event"})
        assert reader._queue.qsize() == 1
        for number in range(2001):
            reader._queue.put_nowait(MemoryMessage(b"", {"id": str(number)}))
        waiting = asyncio.create_task(deliver(b"{}", {"id": "another"}))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        while not reader._queue.empty():
            reader._queue.get_nowait()
        await asyncio.wait_for(waiting, 30)
        assert reader._queue.qsize() == 1
    finally:
        topic.unsubscribe(reader)


async def test_events_wait_where_no_services_run() -> None:
    shown = Consumer("events")
    assert waits_for(), "who only shows events to listeners is no service"
    service = Consumer("events", group="event-persister", name="x")
    assert waits_for() == ""
    for consumer in (shown, service):
        await consumer.cleanup()
