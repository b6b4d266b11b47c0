"""Looking at topics and consumer groups: partitions, records that are kept, lag. It commits and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from datalab.bus.admin import admin_client

_RETRY_S = 0.2


@dataclass(frozen=True)
class PartitionView:
    """One partition: the offset of its first record that is kept, and the offset of the next to be written."""

    number: int
    begin: int
    end: int


@dataclass(frozen=True)
class TopicView:
    """One topic. A partition without a leader is in `leaderless` only: nobody can say where it ends."""

    name: str
    partitions: tuple[PartitionView, ...]
    leaderless: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many partitions the topic has."""
        return len(self.partitions) + len(self.leaderless)

    @property
    def records(self) -> int:
        """Offsets from begin to end: the records that are kept, or more where compaction took some out."""
        return sum(partition.end - partition.begin for partition in self.partitions)

    def lag(self, committed: Mapping[int, int]) -> int:
        """Records that a group with these offsets has still to read. A partition it never committed is read from its
        beginning, and so is what lies below it because retention took away what the group had not read."""
        return sum(max(0, p.end - max(p.begin, committed.get(p.number, p.begin))) for p in self.partitions)


@dataclass(frozen=True)
class GroupLag:
    """How far a consumer group is behind on one topic where it has committed."""

    group: str
    topic: str
    lag: int


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
        names = [group for group, *_ in await admin.list_consumer_groups()]
        committed = dict(zip(names, await asyncio.gather(*(_committed(admin, n) for n in names)), strict=True))
    topics = await _with_offsets(bootstrap, described)
    groups = [
        GroupLag(group, topic, topics[topic].lag(offsets))
        for group, by_topic in committed.items()
        for topic, offsets in by_topic.items()
        if topic in topics
    ]
    return BusView(topics, tuple(sorted(groups, key=lambda lag: (lag.topic, lag.group))))


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


async def _with_offsets(bootstrap: str, described: Mapping[str, Mapping[int, bool]]) -> dict[str, TopicView]:
    led = [TopicPartition(t, n) for t, numbers in described.items() for n, has_leader in numbers.items() if has_leader]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        await consumer.start()
        await consumer._client.set_topics(list(described))
        begins, ends = (await consumer.beginning_offsets(led), await consumer.end_offsets(led)) if led else ({}, {})
    finally:
        await consumer.stop()
    return {
        topic: TopicView(
            topic,
            tuple(PartitionView(tp.partition, begins[tp], ends[tp]) for tp in sorted(led) if tp.topic == topic),
            tuple(sorted(number for number, has_leader in numbers.items() if not has_leader)),
        )
        for topic, numbers in sorted(described.items())
    }
