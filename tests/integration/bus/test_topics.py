"""Topics are made and altered as their specs say, on a real broker."""

from __future__ import annotations

import asyncio
import uuid
from functools import partial

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from datalab.bus.topics import TopicLayoutError, create_missing, ensure_topics
from schemas.catalog import TopicSpec, topics
from tests.support.polling import eventually

from .conftest import size, spec

HOUR_MS = 3_600_000


def named() -> str:
    return f"test.{uuid.uuid4().hex[:10]}"


async def settings(bootstrap: str, name: str, **wanted: str) -> dict[str, str]:
    """The topic's settings, once those of `wanted` (underscores for dots) are so: the broker has a change in force a
    moment after it has answered."""
    expected = {key.replace("_", "."): value for key, value in wanted.items()}
    return await eventually(
        partial(settings_now, bootstrap, name), until=lambda found: bool(found) and expected.items() <= found.items()
    )


async def settings_now(bootstrap: str, name: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}
    finally:
        await admin.close()


async def has(bootstrap: str, name: str, partitions: int) -> None:
    """Return once the topic has so many partitions."""
    await eventually(partial(size, bootstrap, name), until=lambda found: found == partitions)


async def set_by_hand(bootstrap: str, name: str, configs: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs)])
    finally:
        await admin.close()


async def test_a_topic_is_created_and_a_repeat_changes_nothing(kafka_bootstrap: str) -> None:
    wanted = spec(named(), 2, retention_hours=5)

    assert await ensure_topics(kafka_bootstrap, [wanted]) == [wanted.name]
    await has(kafka_bootstrap, wanted.name, 2)
    first = await settings(kafka_bootstrap, wanted.name)
    assert await ensure_topics(kafka_bootstrap, [wanted]) == []

    assert await settings(kafka_bootstrap, wanted.name) == first
    assert (first["retention.ms"], first["cleanup.policy"]) == (str(5 * HOUR_MS), "delete")
    assert await size(kafka_bootstrap, wanted.name) == 2


async def test_retention_and_cleanup_are_altered_and_what_was_set_by_hand_stays(kafka_bootstrap: str) -> None:
    name = named()
    await ensure_topics(kafka_bootstrap, [spec(name, retention_hours=5)])
    await has(kafka_bootstrap, name, 1)
    await set_by_hand(kafka_bootstrap, name, {"max.message.bytes": "2000000", "retention.ms": "1000"})
    await settings(kafka_bootstrap, name, max_message_bytes="2000000", retention_ms="1000")
    changed = TopicSpec(
        name=name, owner="t", key="any", description="", partitions=1, retention_hours=-1, cleanup="compact"
    )
    await ensure_topics(kafka_bootstrap, [changed])

    found = await settings(kafka_bootstrap, name, retention_ms="-1", cleanup_policy="compact")
    assert found["max.message.bytes"] == "2000000"


async def test_partitions_grow_and_shrinking_is_refused_before_anything_is_changed(kafka_bootstrap: str) -> None:
    name, other = named(), named()
    await ensure_topics(kafka_bootstrap, [spec(name, 1)])
    await has(kafka_bootstrap, name, 1)
    await ensure_topics(kafka_bootstrap, [spec(name, 3)])
    await has(kafka_bootstrap, name, 3)

    with pytest.raises(TopicLayoutError, match=rf"{name} has 3 partitions, its spec says 2; .* never taken away"):
        await ensure_topics(kafka_bootstrap, [spec(other), spec(name, 2, retention_hours=9)])
    assert await create_missing(kafka_bootstrap, [spec(other)]) == [other]
    assert (await settings(kafka_bootstrap, name))["retention.ms"] == str(HOUR_MS)


async def test_what_is_only_to_exist_is_left_as_it_is(kafka_bootstrap: str) -> None:
    name = named()
    await ensure_topics(kafka_bootstrap, [spec(name, 3, retention_hours=5)])
    await has(kafka_bootstrap, name, 3)

    assert await create_missing(kafka_bootstrap, [spec(name, 1, retention_hours=1)]) == []
    assert (await settings(kafka_bootstrap, name))["retention.ms"] == str(5 * HOUR_MS)


async def test_several_processes_may_do_it_at_once(kafka_bootstrap: str) -> None:
    name = named()
    await ensure_topics(kafka_bootstrap, [spec(name, 1)])
    await has(kafka_bootstrap, name, 1)
    wanted = [spec(name, 4, retention_hours=7), spec(named(), 2)]
    await asyncio.gather(*(ensure_topics(kafka_bootstrap, wanted) for _ in range(5)))

    for one in wanted:
        await has(kafka_bootstrap, one.name, one.partitions)
    await settings(kafka_bootstrap, name, retention_ms=str(7 * HOUR_MS))


async def test_the_lab_s_topics_are_as_the_file_says(kafka_bootstrap: str) -> None:
    await ensure_topics(kafka_bootstrap, topics())

    for topic in topics():
        await has(kafka_bootstrap, topic.name, topic.partitions)
        found = await settings(kafka_bootstrap, topic.name)
        assert found["retention.ms"] == str(topic.retention_hours * HOUR_MS)
        assert found["cleanup.policy"] == topic.cleanup
