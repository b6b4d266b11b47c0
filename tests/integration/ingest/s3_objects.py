"""A bucket of a real S3 server as ingest and Kafka see it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import quote

from datalab.bus.publisher import Publisher, RecordRef
from datalab.bus.reader import read_events, read_records
from schemas.codec import EncodedRecord
from schemas.envelope import Event
from tests.support.polling import eventually
from tests.support.s3_gateway import ACCESS_KEY, REGION, SECRET_KEY

from .conftest import RunningIngest, StartIngest

ROWS = "symbol,close\nAAPL,542.10\n"


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
        await eventually(self.arrivals, until=lambda all_: len(all_) >= count)
        return [event for _, event in await self.arrivals()]

    async def noted(self, key: str, count: int = 1) -> list[dict[str, Any]]:
        return await eventually(partial(self.rows, key), until=lambda rows: len(rows) >= count)

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
