"""Handing records to aiokafka's producer: one by one, or many at once as batches that are made here.

Many at once cost a fifth: aiokafka looks up the topic, hashes the key in Python and makes a future for each record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from schemas.codec import EncodedRecord

# Below the broker's own limit for a batch, which is 1 MiB.
BATCH_BYTES = 256 * 1024
# So few gain nothing.
_MANY = 8
Addressed = tuple[str, EncodedRecord]


class Sent(NamedTuple):
    """A record on its way: the acknowledgement to come is of a batch, in which it has a position."""

    acknowledged: asyncio.Future[Any]
    position: int = 0


async def send_each(
    producer: AIOKafkaProducer, records: Sequence[Addressed], partition: int | None, into: list[Sent | Exception]
) -> None:
    """Hand the records over in this order; what becomes of each is appended to `into`."""
    if len(records) >= _MANY and partition is None:
        await _send_many(producer, records, into)
        return
    for topic, record in records:
        into.append(await _send_one(producer, topic, record, partition))


async def _send_one(
    producer: AIOKafkaProducer, topic: str, record: EncodedRecord, partition: int | None
) -> Sent | Exception:
    try:
        return Sent(
            await producer.send(topic, value=record.value, key=record.key, headers=record.headers, partition=partition)
        )
    except KafkaError as error:
        return cast("Exception", error)


async def _send_many(producer: AIOKafkaProducer, records: Sequence[Addressed], into: list[Sent | Exception]) -> None:
    batches = _Batches(producer, len(records))
    try:
        for index, (topic, record) in enumerate(records):
            if not batches.append(index, topic, record):
                await batches.add(index, topic, record)
        await batches.flush_all()
    finally:
        # Also when time is over: what was handed over may be acknowledged all the same.
        late = TimeoutError("was not handed over in time")
        into += [one if one is not None else late for one in batches.sent]


class _Batches:
    """The open batch of each partition."""

    def __init__(self, producer: AIOKafkaProducer, count: int) -> None:
        self._producer = producer
        self._partitions: dict[str, list[int]] = {}
        # Where records with this topic and key go; the keys of a batch are few.
        self._places: dict[tuple[str, bytes | None], tuple[str, int]] = {}
        self._open: dict[tuple[str, int], tuple[Any, list[int]]] = {}
        self.sent: list[Sent | Exception | None] = [None] * count

    def append(self, index: int, topic: str, record: EncodedRecord) -> bool:
        """Put one record into the batch of its partition, where that is open and has room; nearly all go so."""
        place = self._places.get((topic, record.key)) or self._place(topic, record.key)
        if place is None or place not in self._open or len(record.value) > BATCH_BYTES // 2:
            return False
        return self._append(place, index, record)

    def _place(self, topic: str, key: bytes | None) -> tuple[str, int] | None:
        """Where records with this key go; None where that is still unknown, or for the broker to say."""
        numbers = self._partitions.get(topic)
        if numbers is None or key is None:
            return None
        place = self._places[topic, key] = topic, numbers[_hash(key) % len(numbers)]
        return place

    async def add(self, index: int, topic: str, record: EncodedRecord) -> None:
        """Put one record into the batch of its partition, after those before it, whatever that takes."""
        if topic not in self._partitions:
            try:
                self._partitions[topic] = sorted(await self._producer.partitions_for(topic))
            except KafkaError as error:
                self.sent[index] = cast("Exception", error)
                return
        place = self._place(topic, record.key)
        if place is None:
            self.sent[index] = await _send_one(self._producer, topic, record, None)
            return
        if len(record.value) > BATCH_BYTES // 2:
            await self._flush(place)
            self.sent[index] = await _send_one(self._producer, topic, record, place[1])
        elif not self._append(place, index, record):
            await self._flush(place)
            self._append(place, index, record)

    async def flush_all(self) -> None:
        """Hand over every batch that is open."""
        for place in list(self._open):
            await self._flush(place)

    def _append(self, place: tuple[str, int], index: int, record: EncodedRecord) -> bool:
        if place not in self._open:
            self._open[place] = (self._producer.create_batch(), [])
        builder, indices = self._open[place]
        if builder.append(timestamp=None, key=record.key, value=record.value, headers=record.headers) is None:
            return False
        indices.append(index)
        return True

    async def _flush(self, place: tuple[str, int]) -> None:
        builder, indices = self._open.pop(place, (None, []))
        if not indices:
            return
        try:
            acknowledged = await self._producer.send_batch(builder, place[0], partition=place[1])
        except KafkaError as error:
            for index in indices:
                self.sent[index] = cast("Exception", error)
            return
        for position, index in enumerate(indices):
            self.sent[index] = Sent(acknowledged, position)


@lru_cache(maxsize=20_000)
def _hash(key: bytes) -> int:
    """As every Kafka client hashes a key; in Python it takes as long as all else about a record."""
    return int(murmur2(key)) & 0x7FFFFFFF
