"""Objects of a real S3 server that sends its own notifications through a real broker."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from datalab.bus.publisher import Publisher, RecordRef
from datalab.bus.reader import read_events, read_records
from datalab.runtime.clock import SystemClock
from datalab.store.engine import create_engine, create_sessions
from schemas.codec import EncodedRecord
from schemas.envelope import Event, event_id
from services.ingest.dataset_file import DatasetFile
from services.ingest.ledger import Ledger
from services.ingest.s3.objects import Objects as StoredObjects
from services.ingest.s3.store import ObjectStore
from tests.support.polling import eventually
from tests.support.processes import free_port
from tests.support.s3_gateway import ACCESS_KEY, REGION, SECRET_KEY, Gateway, s3_gateway

from .conftest import RunningIngest, StartIngest

# The first run on a machine builds the server.
pytestmark = pytest.mark.timeout(1000)
ROWS = "symbol,close\nAAPL,542.10\n"
AWKWARD = [
    "stocks/2026-11-23/AAPL dados=ção.csv",
    "stocks/a+b c.csv",
    "stocks/100%41.csv",
    "stocks/%2F.csv",
    "stocks/question?hash#and&semi;.csv",
    "stocks/deep/er/quote'\".csv",
]


@pytest.fixture(scope="module")
def gateway(kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with s3_gateway(tmp_path_factory.mktemp("s3"), kafka_bootstrap) as running:
        yield running


@pytest.fixture
def bucket(gateway: Gateway) -> str:
    name = f"landing-{uuid.uuid4().hex[:8]}"
    gateway.client.create_bucket(Bucket=name)
    return name


class Objects:
    """One bucket as ingest and Kafka see it."""

    def __init__(self, ingest: RunningIngest, bucket: str) -> None:
        self.ingest, self.bucket = ingest, bucket

    async def arrivals(self) -> list[tuple[RecordRef, Event]]:
        prefix = f"s3://{self.bucket}/"
        events = [pair async for pair in read_events(self.ingest.bootstrap, ["lab.files"])]
        return [(ref, event) for ref, event in events if event.data["uri"].startswith(prefix)]

    async def rows(self, key: str | None = None) -> list[dict[str, Any]]:
        """Newest first."""
        prefix = f"s3://{self.bucket}/"
        rows = [row for row in await self.ingest.rows() if row["path"].startswith(prefix)]
        return [row for row in rows if key is None or row["path"] == prefix + key]

    async def arrived(self, count: int) -> list[Event]:
        await eventually(self.arrivals, until=lambda all_: len(all_) >= count, within_s=30)
        return [event for _, event in await self.arrivals()]

    async def noted(self, key: str, count: int = 1) -> list[dict[str, Any]]:
        return await eventually(partial(self.rows, key), until=lambda rows: len(rows) >= count, within_s=30)

    async def buried(self) -> list[dict[str, str]]:
        """The headers of dead letters that name this bucket."""
        records = [record async for record in read_records(self.ingest.bootstrap, ["lab.dead-letters"])]
        mine = [record for record in records if self.bucket.encode() in (record.value or b"")]
        return [{name: value.decode() for name, value in record.headers} for record in mine]

    async def notify(self, *notices: dict[str, Any] | bytes) -> None:
        """Put records on the topic, one after the other, as a store would."""
        async with Publisher(self.ingest.bootstrap, "test") as publisher:
            for notice in notices:
                value = notice if isinstance(notice, bytes) else json.dumps(notice).encode()
                await publisher.publish_record("lab.s3-notifications", EncodedRecord(b"one", value, []))

    def notice(self, *keys: str, kind: str = "ObjectCreated:Put", sequencer: int = 1) -> dict[str, Any]:
        """As AWS writes them."""
        return {
            "Records": [
                {
                    "eventSource": "aws:s3",
                    "eventName": kind,
                    "s3": {
                        "bucket": {"name": self.bucket, "arn": f"arn:aws:s3:::{self.bucket}"},
                        "object": {"key": quote(key).replace("%20", "+"), "sequencer": f"{sequencer:016X}"},
                    },
                }
                for key in keys
            ]
        }


@asynccontextmanager
async def following(start: StartIngest, url: str, bucket: str, **changed: Any) -> AsyncIterator[Objects]:
    keys = {"s3_access_key_id": ACCESS_KEY, "s3_secret_access_key": SECRET_KEY, "s3_region": REGION}
    async with start(**{"minio_endpoint": url, **keys, **changed}) as ingest:
        yield Objects(ingest, bucket)


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

        assert [row["status"] for row in await objects.rows()] == ["duplicate", "published", "published"]
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
        assert {row["status"] for row in await objects.rows()} == {"published"}


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


async def test_what_is_no_data_file_is_refused_or_left_alone(
    start_ingest: StartIngest, gateway: Gateway, bucket: str
) -> None:
    refused = {
        "loose.csv": ("no dataset", ROWS),
        "stocks/notes.docx": ("unknown extension", ROWS),
        "stocks/nul.csv": ("NUL", "a\n\x00\n"),
        "stocks/half.parquet": ("Parquet", "PAR1" + "x" * 100),
        "stocks/empty.csv": ("empty", ""),
    }
    async with following(start_ingest, gateway.url, bucket) as objects:
        for key in ("stocks/.hidden.csv", "stocks/a.csv.part", "_tmp/a.csv", "stocks/directory/"):
            await asyncio.to_thread(gateway.put, bucket, key, "" if key.endswith("/") else ROWS)
        for key, (_, content) in refused.items():
            await asyncio.to_thread(gateway.put, bucket, key, content)
        await asyncio.to_thread(gateway.put, bucket, "stocks/good.csv", ROWS)
        await objects.arrived(1)
        rows = await eventually(objects.rows, until=lambda rows: len(rows) >= len(refused) + 1)

        reasons = {row["path"].split("/", 3)[3]: row["reason"] or "" for row in rows if row["status"] == "refused"}
        assert sorted(reasons) == sorted(refused)
        for key, (words, _) in refused.items():
            assert words in reasons[key]
        assert len(rows) == len(refused) + 1


async def test_what_cannot_be_read_goes_to_the_dead_letters_with_the_reason_and_holds_up_nothing(
    start_ingest: StartIngest, gateway: Gateway, bucket: str
) -> None:
    async with following(start_ingest, gateway.url, bucket) as objects:
        broken = objects.notice("stocks/a.csv")
        del broken["Records"][0]["s3"]["object"]["key"]
        nul = objects.notice("stocks/good.csv", "stocks/a\x00.csv")
        await asyncio.to_thread(gateway.put, bucket, "stocks/good.csv", ROWS)
        await objects.notify(json.dumps(broken).encode(), f"not {bucket}".encode(), nul)
        letters = await eventually(objects.buried, until=lambda letters: len(letters) >= 3)

        reasons = sorted(letter["dlq_reason"] for letter in letters)
        assert "Records.0.s3.object.key" in reasons[1]
        assert "not JSON" in reasons[2]
        assert "is no text" in reasons[0]
        assert {letter["dlq_topic"] for letter in letters} == {"lab.s3-notifications"}
        assert len(await objects.arrived(1)) == 1


async def test_a_bucket_whose_files_are_noticed_otherwise_is_left_alone(
    start_ingest: StartIngest, gateway: Gateway, bucket: str
) -> None:
    other = f"{bucket}-other"
    await asyncio.to_thread(gateway.client.create_bucket, Bucket=other)
    both = {"ingest_s3_buckets": f"{bucket},{other}", "ingest_s3_list_interval_seconds": 0.2}
    async with following(start_ingest, gateway.url, bucket, ingest_s3_ignored_buckets=bucket, **both) as objects:
        await asyncio.to_thread(gateway.put, bucket, "stocks/a.csv", ROWS)
        await objects.notify(objects.notice("stocks/a.csv"))
        await asyncio.to_thread(gateway.put, other, "stocks/a.csv", ROWS)
        await Objects(objects.ingest, other).arrived(1)
        await objects.notify(f"last of {bucket}".encode())  # one key, one partition: after the notice above
        await eventually(objects.buried)

        assert await objects.rows() == []


async def test_a_store_that_refuses_us_ends_in_the_dead_letters(
    start_ingest: StartIngest, gateway: Gateway, bucket: str
) -> None:
    async with following(start_ingest, gateway.url, bucket, s3_secret_access_key="wrong") as objects:
        await objects.notify(objects.notice("stocks/a.csv"))
        (letter,) = await eventually(objects.buried, within_s=40)
        assert "does not let us read" in letter["dlq_reason"]


async def test_a_store_that_is_away_is_waited_for(start_ingest: StartIngest, tmp_path: Path) -> None:
    port, bucket = free_port(), f"away-{uuid.uuid4().hex[:8]}"
    with s3_gateway(tmp_path / "s3", None, port) as before:
        before.client.create_bucket(Bucket=bucket)
        before.put(bucket, "stocks/a.csv", ROWS)
        url = before.url
    async with following(start_ingest, url, bucket) as objects:
        await objects.notify(objects.notice("stocks/a.csv"))
        await asyncio.sleep(3)
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
