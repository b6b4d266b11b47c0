"""Objects of a real S3 server that sends its own notifications through a real broker."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

from datalab.runtime.clock import SystemClock
from datalab.store.engine import create_engine, create_sessions
from schemas.envelope import event_id
from services.ingest.dataset_file import DatasetFile
from services.ingest.ledger import Ledger
from services.ingest.s3.objects import Objects as StoredObjects
from services.ingest.s3.store import ObjectStore
from tests.support.polling import eventually
from tests.support.s3_gateway import ACCESS_KEY, REGION, SECRET_KEY, Gateway

from .conftest import StartIngest
from .s3_objects import ROWS, following

# The first run on a machine builds the server.
pytestmark = pytest.mark.timeout(1000)
AWKWARD = [
    "stocks/2026-11-23/AAPL dados=ção.csv",
    "stocks/a+b c.csv",
    "stocks/100%41.csv",
    "stocks/%2F.csv",
    "stocks/question?hash#and&semi;.csv",
    "stocks/deep/er/quote'\".csv",
]


async def test_each_object_becomes_one_event_whatever_its_key(
    start_ingest: StartIngest, gateway: Gateway, bucket: str
) -> None:
    async with following(start_ingest, gateway.url, bucket) as objects:
        for key in AWKWARD:
            await asyncio.to_thread(gateway.put, bucket, key, ROWS + key)
        events = {event.data["path"]: event for event in await objects.arrived(len(AWKWARD))}

        assert sorted(events) == sorted(AWKWARD)
        for key, event in events.items():
            digest = hashlib.sha256((ROWS + key).encode()).hexdigest()
            uri = f"s3://{bucket}/{quote(key)}"
            assert event.id == event_id(uri, digest)
            assert (event.data["uri"], event.data["sha256"], event.data["dataset"]) == (uri, digest, "stocks")
            assert (event.data["name"], event.data["size_bytes"]) == (key.split("/")[-1], len((ROWS + key).encode()))
        assert await objects.buried() == []


async def test_other_content_is_another_event_and_the_same_again_is_none(
    start_ingest: StartIngest, gateway: Gateway, bucket: str
) -> None:
    async with following(start_ingest, gateway.url, bucket) as objects:
        for number, content in enumerate((ROWS, ROWS * 2, ROWS), start=1):
            await asyncio.to_thread(gateway.put, bucket, "stocks/a.csv", content)
            await objects.noted("stocks/a.csv", number)
            await asyncio.sleep(1.1)  # a store tells times in seconds

        expected = ["duplicate", "published", "published"]
        await eventually(objects.rows, until=lambda rows: [row["status"] for row in rows] == expected)
        assert len(await objects.arrivals()) == 2


async def test_a_multipart_object_is_hashed_whole(start_ingest: StartIngest, gateway: Gateway, bucket: str) -> None:
    parts = [b"a" * (5 * 1024 * 1024), b"\nb\n"]

    def upload() -> str:
        client, where = gateway.client, {"Bucket": bucket, "Key": "stocks/large.csv"}
        upload_id = client.create_multipart_upload(**where)["UploadId"]
        etags = [
            client.upload_part(**where, UploadId=upload_id, PartNumber=number, Body=part)["ETag"]
            for number, part in enumerate(parts, start=1)
        ]
        done = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]}
        return str(client.complete_multipart_upload(**where, UploadId=upload_id, MultipartUpload=done)["ETag"])

    async with following(start_ingest, gateway.url, bucket) as objects:
        etag = await asyncio.to_thread(upload)
        (event,) = await objects.arrived(1)
        (row,) = await objects.rows()

    assert etag.strip('"').endswith("-2")
    assert row["version"] == etag.strip('"')
    assert event.data["sha256"] == hashlib.sha256(b"".join(parts)).hexdigest()


async def test_removal_is_noted_and_is_no_arrival(start_ingest: StartIngest, gateway: Gateway, bucket: str) -> None:
    async with following(start_ingest, gateway.url, bucket) as objects:
        for key in ("stocks/one.csv", "stocks/two +.csv", "stocks/three.csv"):
            await asyncio.to_thread(gateway.put, bucket, key, ROWS)
        await objects.arrived(3)
        await asyncio.to_thread(gateway.client.delete_object, Bucket=bucket, Key="stocks/one.csv")
        several = {"Objects": [{"Key": "stocks/two +.csv"}]}
        await asyncio.to_thread(gateway.client.delete_objects, Bucket=bucket, Delete=several)

        async def gone() -> set[str]:
            return {row["path"].split("/", 3)[3] for row in await objects.rows() if row["gone_at"] is not None}

        await eventually(gone, until=lambda keys: keys == {"stocks/one.csv", "stocks/two +.csv"})
        assert len(await objects.arrivals()) == 3
        await eventually(objects.rows, until=lambda rows: {row["status"] for row in rows} == {"published"})


async def test_repeats_and_disorder_change_nothing(start_ingest: StartIngest, gateway: Gateway, bucket: str) -> None:
    async with following(start_ingest, gateway.url, bucket) as objects:
        await asyncio.to_thread(gateway.put, bucket, "stocks/here.csv", ROWS)
        await asyncio.to_thread(gateway.put, bucket, "stocks/gone.csv", ROWS)
        await objects.arrived(2)
        await asyncio.to_thread(gateway.client.delete_object, Bucket=bucket, Key="stocks/gone.csv")
        await eventually(partial(objects.rows, "stocks/gone.csv"), until=lambda rows: rows[0]["gone_at"] is not None)
        removed = "ObjectRemoved:Delete"
        await objects.notify(
            objects.notice("stocks/here.csv", sequencer=3),
            objects.notice("stocks/here.csv", sequencer=3),
            objects.notice("stocks/here.csv", kind=removed, sequencer=2),
            objects.notice("stocks/here.csv", sequencer=1),
            objects.notice("stocks/gone.csv", sequencer=4),
            objects.notice("stocks/gone.csv", "stocks/here.csv", "stocks/never.csv", sequencer=9),
        )
        await asyncio.to_thread(gateway.put, bucket, "stocks/last.csv", ROWS)
        await objects.notify(objects.notice("stocks/last.csv"))
        await objects.arrived(3)

        rows = {row["path"].split("/", 3)[3]: row for row in await objects.rows()}
        assert sorted(rows) == ["stocks/gone.csv", "stocks/here.csv", "stocks/last.csv"]
        assert len(await objects.rows()) == 3
        assert rows["stocks/here.csv"]["gone_at"] is None
        assert rows["stocks/gone.csv"]["gone_at"] is not None
        assert len(await objects.arrivals()) == 3


async def test_an_object_that_is_there_after_all_is_not_gone(
    start_ingest: StartIngest, gateway: Gateway, bucket: str, database_url: str
) -> None:
    """As when the marker of a deletion is deleted: the version is the one from before."""
    async with following(start_ingest, gateway.url, bucket) as objects:
        await asyncio.to_thread(gateway.put, bucket, "stocks/a.csv", ROWS)
        await objects.arrived(1)
        engine = create_engine(database_url)
        assert await Ledger(create_sessions(engine)).gone(f"s3://{bucket}/stocks/a.csv", datetime.now(UTC))
        await engine.dispose()
        await objects.notify(objects.notice("stocks/a.csv"))

        await eventually(objects.rows, until=lambda rows: [row["gone_at"] for row in rows] == [None])
        assert len(await objects.arrivals()) == 1


async def test_many_notices_of_one_object_at_once_read_it_once(
    gateway: Gateway, bucket: str, database_url: str, tmp_path: Path
) -> None:
    """Stores write without a key, so that notices of one object come side by side, from all partitions."""
    await asyncio.to_thread(gateway.put, bucket, "stocks/a.csv", ROWS)
    engine = create_engine(database_url)
    store = ObjectStore(gateway.url, REGION, ACCESS_KEY, SECRET_KEY)
    added: list[None] = []
    objects = StoredObjects(
        store,
        Ledger(create_sessions(engine)),
        DatasetFile(tmp_path / "none.yaml"),
        SystemClock(),
        lambda: added.append(None),
        threads=4,
    )
    try:
        await asyncio.gather(*(objects.refresh(bucket, ["stocks/a.csv"]) for _ in range(8)))
        await objects.refresh(bucket, ["stocks/a.csv"])
    finally:
        await objects.close()
        await engine.dispose()

    assert len(added) == 1
