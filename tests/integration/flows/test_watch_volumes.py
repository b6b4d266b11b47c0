"""Rows of the last day against those of the weeks before, from events on a real broker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from flows.watch.volumes import look_at_volumes
from schemas.codec import encode
from schemas.datasets import DatasetUpdated
from schemas.envelope import new_event
from tests.support.lab_parts import kafka_broker
from tests.support.processes import free_port

NOW = datetime.now(UTC)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """A broker of this test's own: what others put on the topic today would stand before what is of weeks ago."""
    with kafka_broker(tmp_path) as bootstrap:
        yield bootstrap


async def test_each_dataset_is_held_against_the_same_day_of_the_weeks_before(broker: str) -> None:
    much, little = (f"{name}-{uuid.uuid4().hex[:8]}" for name in ("much", "little"))
    producer = AIOKafkaProducer(bootstrap_servers=broker)
    await producer.start()

    async def arrived(dataset: str, rows: int, ago: timedelta, layer: str = "bronze") -> None:
        data = DatasetUpdated.model_validate(
            {"dataset": dataset, "layer": layer, "table": "t", "version": 1, "rows_in": rows, "rows_written": rows}
        )
        record = encode(new_event(data, source="tests"))
        stamp = int((NOW - ago).timestamp() * 1000)
        await producer.send_and_wait(
            "lab.datasets", record.value, record.key, headers=record.headers, timestamp_ms=stamp
        )

    # The oldest first, as they would have come.
    for week in range(4, 0, -1):
        for dataset in (much, little):
            await arrived(dataset, 7, timedelta(weeks=week, days=3))  # another day of the week
            await arrived(dataset, 100, timedelta(weeks=week, hours=3))
    await arrived(little, 20, timedelta(hours=26))
    for _ in range(4):
        await arrived(much, 100, timedelta(hours=2))
    await arrived(much, 400, timedelta(hours=2), layer="silver")
    await producer.stop()

    found = {m.of: m for m in await look_at_volumes(broker, NOW, deadline_s=30)}

    assert (found[much].value, found[much].labels) == (4.0, {"observed": "400", "usual": "100"})
    assert (found[little].value, found[little].labels) == (5.0, {"observed": "20", "usual": "100"})


async def test_without_a_broker_nothing_is_said() -> None:
    assert await look_at_volumes(f"127.0.0.1:{free_port()}", NOW, deadline_s=5) == ()
