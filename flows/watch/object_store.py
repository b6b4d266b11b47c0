"""Asking an S3 store to do what it is there for: to take an object, give it back and delete it. As `probes`: None, or
the reason."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from flows.watch.settings import WatchSettings

PREFIX = "_datalab-watch/"
# What a look that was killed left behind.
_LEFT_BEHIND = timedelta(hours=1)
_CONTENT = b"looked at by the lab's monitoring; may be deleted at any time\n"


class Store(NamedTuple):
    """Where, and in which bucket to write; no bucket: only the list of buckets is asked for. `makes_bucket` says that
    it is ours to make. No endpoint is AWS's own."""

    endpoint: str | None
    bucket: str | None
    makes_bucket: bool = False


def store_of(settings: WatchSettings) -> Store | None:
    """The lake's own bucket if the lake is on S3, else WATCH_S3_BUCKET; None without any store."""
    lake = urlsplit(settings.lake_root)
    if lake.scheme in {"s3", "s3a"} and lake.netloc:
        return Store(settings.minio_endpoint or None, lake.netloc)
    if not settings.minio_endpoint:
        return None
    return Store(settings.minio_endpoint, settings.watch_s3_bucket or None, makes_bucket=True)


async def store_keeps(store: Store, settings: WatchSettings, deadline_s: float) -> str | None:
    """Not in this thread, since the client blocks. Its own time limits end a thread whose look has given up on it."""
    return await asyncio.to_thread(_exercise, store, settings, deadline_s)


def _exercise(store: Store, settings: WatchSettings, deadline_s: float) -> str | None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = _client(store, settings, deadline_s)
        if store.bucket is None:
            client.list_buckets()
            return None
        return _put_read_delete(client, store, store.bucket)
    except ClientError as error:
        said = error.response.get("Error", {})
        return f"{error.operation_name} answers {said.get('Code', '?')}: {said.get('Message', '')}".rstrip(": ")
    except BotoCoreError as error:
        return f"{type(error).__name__}: {error}"


def _put_read_delete(client: Any, store: Store, bucket: str) -> str | None:
    key = f"{PREFIX}{uuid.uuid4().hex}"
    _ready(client, store, bucket)
    client.put_object(Bucket=bucket, Key=key, Body=_CONTENT)
    try:
        kept = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    finally:
        client.delete_object(Bucket=bucket, Key=key)
    if kept != _CONTENT:
        return f"of {len(_CONTENT)} bytes that were put, {len(kept)} came back, or others"
    left = client.list_objects_v2(Bucket=bucket, Prefix=PREFIX, MaxKeys=100).get("Contents", ())
    if key in {entry["Key"] for entry in left}:
        return "what was deleted is still there"
    for entry in left:
        if datetime.now(UTC) - entry["LastModified"] > _LEFT_BEHIND:
            client.delete_object(Bucket=bucket, Key=entry["Key"])
    return None


def _ready(client: Any, store: Store, bucket: str) -> None:
    """Make the bucket if it is missing and ours to make."""
    from botocore.exceptions import ClientError

    if not store.makes_bucket:
        return
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        client.create_bucket(Bucket=bucket)


def _client(store: Store, settings: WatchSettings, deadline_s: float) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=deadline_s, read_timeout=deadline_s, retries={"total_max_attempts": 1},
        s3={"addressing_style": "path"}, request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )  # fmt: skip
    # With no keys given, the client looks for them as AWS's tools do.
    keys = {
        "aws_access_key_id": settings.s3_access_key_id or None,
        "aws_secret_access_key": settings.s3_secret_access_key.get_secret_value() or None,
    }
    return boto3.session.Session().client(
        "s3", endpoint_url=store.endpoint, region_name=settings.s3_region, config=config, **keys
    )
