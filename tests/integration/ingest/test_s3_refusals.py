"""Objects and notices that ingest refuses, buries or leaves alone."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support.polling import eventually
from tests.support.s3_gateway import Gateway

from .conftest import StartIngest
from .s3_objects import ROWS, Objects, following

# The first run on a machine builds the server.
pytestmark = pytest.mark.timeout(1000)


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
        (letter,) = await eventually(objects.buried)
        assert "does not let us read" in letter["dlq_reason"]
