"""Reading topics without a group: for people, tests and proofs. It commits nothing and disturbs no consumer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from datalab.bus.publisher import RecordRef
from schemas.codec import CodecError, decode
from schemas.envelope import Event


async def read_records(
    bootstrap: str,
    topics: Sequence[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    follow: bool = False,
) -> AsyncIterator[Any]:
    """Every record of the topics that was stored from `since` on (default: the beginning) and before `until` (default:
    the end that was there at the start; never with `follow`). Order holds within a partition. Raises ConnectionError
    without a broker, and when there is nothing to follow.

    Times are those that producers give, and so not always in order: of each partition the part is looked through that
    ends before the first record as late as `until`. What comes after the start is of any time.
    """
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        try:
            await consumer.start()
        except Exception as error:
            raise ConnectionError(f"no Kafka broker answers at {bootstrap}") from error
        partitions = await _partitions(consumer, topics)
        if follow and not partitions:
            raise ConnectionError(f"none of these topics is there: {', '.join(topics)}")
        ends = await _ends(consumer, partitions, until)
        consumer.assign(partitions)
        await _seek(consumer, ends, since)
        left = {tp for tp in partitions if await consumer.position(tp) < ends[tp]}
        earliest = -math.inf if since is None else _stamp(since)
        while left or follow:
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    was_there = record.offset < ends[tp]
                    if record.timestamp >= earliest if was_there else follow:
                        yield record
            left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
    finally:
        await consumer.stop()


async def read_events(
    bootstrap: str,
    topics: Sequence[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    follow: bool = False,
) -> AsyncIterator[tuple[RecordRef, Event]]:
    """As `read_records`, decoded; what is not an event is passed over."""
    async for record in read_records(bootstrap, topics, since=since, until=until, follow=follow):
        try:
            stored_at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
            event = decode(record.key, record.value, record.headers, stored_at)
        except CodecError:
            continue
        yield RecordRef(record.topic, record.partition, record.offset), event


async def _partitions(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> list[TopicPartition]:
    await consumer._client.set_topics(topics)
    found: list[TopicPartition] = []
    for topic in topics:
        for _ in range(20):
            numbers = consumer.partitions_for_topic(topic)
            if numbers:
                found += [TopicPartition(topic, number) for number in sorted(numbers)]
                break
            await asyncio.sleep(0.1)
    return found


async def _ends(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], until: datetime | None
) -> dict[TopicPartition, int]:
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    if until is None or not partitions:
        return ends
    later = await consumer.offsets_for_times(dict.fromkeys(partitions, _stamp(until)))
    return {tp: min(end, later[tp].offset) if later[tp] else end for tp, end in ends.items()}


async def _seek(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int], since: datetime | None) -> None:
    if since is None:
        await consumer.seek_to_beginning(*ends)
        return
    offsets = await consumer.offsets_for_times(dict.fromkeys(ends, _stamp(since)))
    for tp, end in ends.items():
        # Nothing is that new yet: go on from the end noted before asking. "The end" as it is by the time of seeking
        # would pass over what arrives meanwhile.
        consumer.seek(tp, end if offsets[tp] is None else offsets[tp].offset)


def _stamp(time: datetime) -> int:
    """Milliseconds, as Kafka counts."""
    return int(time.timestamp() * 1000)
