"""Looking at topics and consumer groups: partitions, records that are kept, lag. It commits and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from datalab.bus.admin import admin_client
from datalab.bus.log_sizes import log_sizes
from datalab.bus.unread import stored_at

_RETRY_S = 0.2
_RECENT = timedelta(hours=1)
# One record of each partition is enough.
_FETCH_BYTES = 16_384


@dataclass(frozen=True)
class PartitionView:
    """One partition: the offset of its first record that is kept, and the offset of the next to be written; how many
    were stored in the last hour."""

    number: int
    begin: int
    end: int
    recent: int = 0


@dataclass(frozen=True)
class TopicView:
    """One topic. A partition without a leader is in `leaderless` only: nobody can say where it ends. Bytes are those of
    one copy on the brokers' disks, None where a broker does not tell."""

    name: str
    partitions: tuple[PartitionView, ...]
    leaderless: tuple[int, ...] = ()
    size_bytes: int | None = None

    @property
    def size(self) -> int:
        """How many partitions the topic has."""
        return len(self.partitions) + len(self.leaderless)

    @property
    def records(self) -> int:
        """Offsets from begin to end: the records that are kept, or more where compaction took some out."""
        return sum(partition.end - partition.begin for partition in self.partitions)

    @property
    def recent(self) -> int:
        """Records that were stored in the last hour."""
        return sum(partition.recent for partition in self.partitions)

    def lag(self, committed: Mapping[int, int]) -> int:
        """Records that a group with these offsets has still to read."""
        return sum(max(0, p.end - offset) for p, offset in self._positions(committed))

    def unread(self, committed: Mapping[int, int]) -> Mapping[int, int]:
        """Of each partition with something left to read, the offset at which such a group goes on."""
        return {p.number: offset for p, offset in self._positions(committed) if offset < p.end}

    def _positions(self, committed: Mapping[int, int]) -> Sequence[tuple[PartitionView, int]]:
        """A partition it never committed is read from its beginning, and so is what lies below it because retention
        took away what the group had not read."""
        return [(p, max(p.begin, committed.get(p.number, p.begin))) for p in self.partitions]


@dataclass(frozen=True)
class GroupLag:
    """How far a consumer group is behind on one topic where it has committed: records, and since when the oldest of
    them is stored; None if nothing is left to read, or it did not come in time."""

    group: str
    topic: str
    lag: int
    oldest_unread: datetime | None = None


@dataclass(frozen=True)
class BusView:
    """All topics but Kafka's own, by name, and every group on each of its topics."""

    topics: Mapping[str, TopicView]
    groups: tuple[GroupLag, ...]


async def inspect_bus(bootstrap: str, *, deadline_s: float = 10.0) -> BusView:
    """Everything at one moment, or nearly: offsets of groups are asked for before the ends, so no lag is negative.

    Raises ConnectionError without a broker, TimeoutError if the answers do not come in time.
    """
    try:
        async with asyncio.timeout(deadline_s):
            return await _patiently(bootstrap)
    except KafkaConnectionError as error:
        raise ConnectionError(f"no Kafka broker answers at {bootstrap}") from error
    except TimeoutError:
        raise TimeoutError(f"Kafka at {bootstrap} did not describe its topics within {deadline_s:g} s") from None


async def topic_names(bootstrap: str, *, deadline_s: float = 10.0) -> list[str]:
    """All topics but Kafka's own, sorted; raises as `inspect_bus` does. Asking creates none."""
    try:
        async with asyncio.timeout(deadline_s), admin_client(bootstrap) as admin:
            return sorted(name for name, _ in _described(await admin.describe_topics()))
    except KafkaError as error:
        raise ConnectionError(f"no Kafka broker answers at {bootstrap}") from error
    except TimeoutError:
        raise TimeoutError(f"Kafka at {bootstrap} did not list its topics within {deadline_s:g} s") from None


async def _patiently(bootstrap: str) -> BusView:
    """A broker that has just started knows neither its groups nor all leaders: ask again until the deadline."""
    while True:
        try:
            return await _inspect(bootstrap)
        except KafkaConnectionError:
            raise
        except KafkaError:
            await asyncio.sleep(_RETRY_S)


async def _inspect(bootstrap: str) -> BusView:
    async with admin_client(bootstrap) as admin:
        described = dict(_described(await admin.describe_topics()))
        sizes = await log_sizes(admin)
        names = [group for group, *_ in await admin.list_consumer_groups()]
        committed = dict(zip(names, await asyncio.gather(*(_committed(admin, n) for n in names)), strict=True))
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, max_partition_fetch_bytes=_FETCH_BYTES
    )
    try:
        await consumer.start()
        found = await _with_offsets(consumer, described)
        topics = {name: replace(topic, size_bytes=sizes.get(name)) for name, topic in found.items()}
        groups = [
            (group, topic, offsets)
            for group, by_topic in committed.items()
            for topic, offsets in by_topic.items()
            if topic in topics
        ]
        lags = await _lags(consumer, topics, groups)
    finally:
        await consumer.stop()
    return BusView(topics, tuple(sorted(lags, key=lambda lag: (lag.topic, lag.group))))


async def _lags(
    consumer: AIOKafkaConsumer, topics: Mapping[str, TopicView], groups: Sequence[tuple[str, str, Mapping[int, int]]]
) -> list[GroupLag]:
    """Of groups with their topics and committed offsets."""
    unread = [
        {(TopicPartition(topic, number), at) for number, at in topics[topic].unread(offsets).items()}
        for _, topic, offsets in groups
    ]
    stored = await stored_at(consumer, (place for places in unread for place in places))
    return [
        GroupLag(
            group,
            topic,
            topics[topic].lag(offsets),
            min((stored[place] for place in places if place in stored), default=None),
        )
        for (group, topic, offsets), places in zip(groups, unread, strict=True)
    ]


def _described(answer: Sequence[Mapping[str, Any]]) -> list[tuple[str, dict[int, bool]]]:
    """Name, and for each partition whether it has a leader; without Kafka's own topics."""
    return [
        (topic["topic"], {p["partition"]: p["leader"] >= 0 for p in topic["partitions"]})
        for topic in answer
        if not topic["error_code"] and not topic["is_internal"]
    ]


async def _committed(admin: AIOKafkaAdminClient, group: str) -> dict[str, dict[int, int]]:
    """Topic → partition → next offset, where the group has committed."""
    offsets: dict[str, dict[int, int]] = {}
    for tp, committed in (await admin.list_consumer_group_offsets(group)).items():
        if committed.offset >= 0:
            offsets.setdefault(tp.topic, {})[tp.partition] = committed.offset
    return offsets


async def _with_offsets(
    consumer: AIOKafkaConsumer, described: Mapping[str, Mapping[int, bool]]
) -> dict[str, TopicView]:
    led = [TopicPartition(t, n) for t, numbers in described.items() for n, has_leader in numbers.items() if has_leader]
    await consumer._client.set_topics(list(described))
    begins, ends, recent = {}, {}, {}
    if led:
        stamp = int((datetime.now(UTC) - _RECENT).timestamp() * 1000)
        begins, recent = (
            await consumer.beginning_offsets(led),
            await consumer.offsets_for_times(dict.fromkeys(led, stamp)),
        )
        ends = await consumer.end_offsets(led)

    def view(tp: TopicPartition) -> PartitionView:
        first = recent[tp]  # None: nothing is that new
        return PartitionView(tp.partition, begins[tp], ends[tp], ends[tp] - first.offset if first else 0)

    return {
        topic: TopicView(
            topic,
            tuple(view(tp) for tp in sorted(led) if tp.topic == topic),
            tuple(sorted(number for number, has_leader in numbers.items() if not has_leader)),
        )
        for topic, numbers in sorted(described.items())
    }
