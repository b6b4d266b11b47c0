"""Topics of a test's own, and looks at what the guide's Kafka pipeline has left in them."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datalab.bus.inspection import inspect_bus
from datalab.bus.publisher import Publisher
from datalab.bus.reader import read_records
from datalab.bus.topics import ensure_topics
from datalab.runtime.settings import PROJECT_ROOT
from flows import kafka_pipeline_flow
from schemas.catalog import DEAD_LETTERS, TopicSpec
from schemas.codec import EncodedRecord
from tests.support.flow_runs import flow_environment

NewTopic = Callable[..., Awaitable[str]]
Put = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kafka_bootstrap: str, prefect_api_url: str
) -> Iterator[None]:
    environ = {"DATALAB_HOME": str(tmp_path), "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap}
    with flow_environment(monkeypatch, kafka_pipeline_flow, prefect_api_url, environ):
        yield


@pytest.fixture
def new_topic(kafka_bootstrap: str) -> NewTopic:
    async def create(partitions: int = 1) -> str:
        name = f"pedidos.{uuid.uuid4().hex[:10]}"
        spec = TopicSpec(name=name, owner="t", key="any", description="", partitions=partitions, retention_hours=1)
        await ensure_topics(kafka_bootstrap, [spec])
        return name

    return create


@pytest.fixture
def put(kafka_bootstrap: str) -> Put:
    async def publish(topic: str, *values: bytes | dict[str, Any] | int) -> None:
        async with Publisher(kafka_bootstrap, "test") as publisher:
            for value in values:
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                await publisher.publish_record(topic, EncodedRecord(b"k", body, []))

    return publish


async def values(bootstrap: str, topic: str) -> list[Any]:
    return [json.loads(record.value) async for record in read_records(bootstrap, [topic])]


async def ids(bootstrap: str, topic: str) -> list[str]:
    return [dict(r.headers)["datalab_id"].decode() async for r in read_records(bootstrap, [topic])]


async def dead_letters(bootstrap: str, topic: str) -> dict[int, str]:
    """Offset and reason of what was buried from the topic."""
    letters = [dict(r.headers) async for r in read_records(bootstrap, [DEAD_LETTERS])]
    ours = [h for h in letters if h.get("dlq_topic") == topic.encode()]
    return {int(h["dlq_offset"]): h["dlq_reason"].decode() for h in ours}


async def lag(bootstrap: str, topic: str) -> list[int]:
    return [group.lag for group in (await inspect_bus(bootstrap)).groups if group.topic == topic]


def python(*arguments: str, cwd: Path = PROJECT_ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=200, check=False
    )
