"""Topics of a test's own on the shared broker, and events to put on them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from datalab.bus.publisher import Publisher
from datalab.bus.topics import ensure_topics
from schemas.catalog import TopicSpec
from schemas.envelope import Event, new_event
from schemas.metrics import MetricSampled
from tests.support.polling import eventually

NewTopic = Callable[..., Awaitable[str]]


def spec(name: str, partitions: int = 1, retention_hours: int = 1) -> TopicSpec:
    return TopicSpec(
        name=name, owner="test", key="any", description="", partitions=partitions, retention_hours=retention_hours
    )


def numbered(number: int, of: str = "a") -> Event:
    """An event that carries a number and is keyed by `of`."""
    data = MetricSampled(of=of, name="number", value=number, unit="1")
    return new_event(data, source="test", id=f"{of}-{number}-{uuid.uuid4().hex[:8]}")


async def size(bootstrap: str, name: str) -> int:
    """How many partitions the topic has, 0 if there is none. The broker says so a moment after it has made them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        (answer,) = await admin.describe_topics([name])
        return len(answer["partitions"])
    finally:
        await admin.close()


@pytest.fixture
def new_topic(kafka_bootstrap: str) -> NewTopic:
    async def create(partitions: int = 1) -> str:
        name = f"test.{uuid.uuid4().hex[:10]}"
        # The tests write records of hours ago, too.
        await ensure_topics(kafka_bootstrap, [spec(name, partitions, retention_hours=24)])
        await eventually(partial(size, kafka_bootstrap, name), until=lambda found: found == partitions)
        return name

    return create


@pytest.fixture
async def publisher(kafka_bootstrap: str) -> AsyncIterator[Publisher]:
    async with Publisher(kafka_bootstrap, "test") as publisher:
        yield publisher
