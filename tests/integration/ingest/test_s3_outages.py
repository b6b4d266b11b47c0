"""A store that is away or silent, and an ingest that is stopped: each object still arrives, once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.polling import eventually
from tests.support.processes import free_port
from tests.support.s3_gateway import Gateway, s3_gateway

from .conftest import StartIngest
from .s3_objects import ROWS, following

# The first run on a machine builds the server.
pytestmark = pytest.mark.timeout(1000)


@asynccontextmanager
async def hanging_up(port: int) -> AsyncIterator[asyncio.Semaphore]:
    """Whoever calls at this port is cut off at once, and counted."""
    called = asyncio.Semaphore(0)

    async def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        called.release()

    async with await asyncio.start_server(cut, "127.0.0.1", port):
        yield called


async def test_a_store_that_is_away_is_waited_for(start_ingest: StartIngest, tmp_path: Path) -> None:
    port, bucket = free_port(), f"away-{uuid.uuid4().hex[:8]}"
    with s3_gateway(tmp_path / "s3", None, port) as before:
        before.client.create_bucket(Bucket=bucket)
        before.put(bucket, "stocks/a.csv", ROWS)
        url = before.url
    async with following(start_ingest, url, bucket) as objects:
        async with hanging_up(port) as asked:
            await objects.notify(objects.notice("stocks/a.csv"))
            for _ in range(2):
                await asyncio.wait_for(asked.acquire(), 60)
        assert await objects.arrivals() == []
        with s3_gateway(tmp_path / "s3", None, port):
            await objects.arrived(1)
        assert await objects.buried() == []


async def test_listing_finds_what_no_notification_told_of(start_ingest: StartIngest, tmp_path: Path) -> None:
    bucket = f"listed-{uuid.uuid4().hex[:8]}"
    with s3_gateway(tmp_path / "s3", None) as silent:
        silent.client.create_bucket(Bucket=bucket)
        silent.put(bucket, "stocks/before start +.csv", ROWS)
        silent.put(bucket, "stocks/.hidden.csv", ROWS)
        listed = {"ingest_s3_buckets": f"{bucket}, nothing-here", "ingest_s3_list_interval_seconds": 0.3}
        async with following(start_ingest, silent.url, bucket, **listed) as objects:
            await objects.arrived(1)
            await asyncio.to_thread(silent.put, bucket, "stocks/later.csv", ROWS)
            await objects.arrived(2)

            async def said() -> str:
                return str((await objects.ingest.http.get("/readyz")).json().get("checks"))

            await eventually(said, until=lambda text: "nothing-here" in text)
            assert len(await objects.rows()) == 2


async def test_killed_in_the_middle_every_object_has_one_id(
    start_ingest: StartIngest, gateway: Gateway, bucket: str
) -> None:
    """Stopped with its notices half handled, and started again: the offset had moved only past what is stored."""
    keys = [f"stocks/{number}.csv" for number in range(60)]
    async with following(start_ingest, gateway.url, bucket) as objects:
        for key in keys:
            await asyncio.to_thread(gateway.put, bucket, key, ROWS + key)
        await objects.arrived(5)
    async with following(start_ingest, gateway.url, bucket) as objects:
        events = await objects.arrived(len(keys))
        rows = await objects.rows()

    assert len(rows) == len(keys)
    assert {event.id for event in events} == {row["event_id"] for row in rows}
