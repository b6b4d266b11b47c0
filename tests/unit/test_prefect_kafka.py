"""Prefect's broker of ours: what it puts on Kafka, and what it does while Kafka is away."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Self

from prefect.server.utilities.messaging import BrokerModule, CacheModule

import datalab.prefect_kafka
from datalab.bus.publisher import RecordRef, RecordRefusedError
from datalab.bus.retry import RetryPolicy
from datalab.prefect_kafka.forwarder import Forwarder
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
