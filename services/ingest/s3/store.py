"""Reading one S3 store, by AWS's own client. Blocks; call it in a thread. Writes nothing."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.ingest.content import HEAD_BYTES
from services.ingest.file_event import ObjectPlace
from services.ingest.settling import Stamp

_CHUNK = 1024 * 1024
_ABSENT = frozenset((404, 405, 410))  # 405: the newest version is a delete marker
_REPLACED = frozenset((409, 412))


class StoreAwayError(ConnectionError):
    """The store does not answer, or not now. It will."""


class StoreRefusedError(Exception):
    """The store will not answer this: wrong credentials, no right to read, a name that it does not take."""


class ReplacedError(Exception):
    """Another version is there than the one that was asked for."""


@dataclass(frozen=True)
class ObjectVersion:
    """What is at a place now. `etag` as the store writes it, quotes and all."""

    place: ObjectPlace
    etag: str
    stamp: Stamp


@dataclass(frozen=True)
class ObjectContent:
    """What reading an object showed: the first bytes, the last four, and the hash of all."""

    head: bytes
    tail: bytes
    sha256: str


class ObjectStore:
    """The store at an endpoint. Every method may raise StoreAwayError or StoreRefusedError."""

    def __init__(self, endpoint: str, region: str, access_key_id: str, secret_access_key: str) -> None:
        # Imported here: it takes 10 MiB, and most labs have no store.
        import boto3
        from botocore.config import Config

        config = Config(
            connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3},
            s3={"addressing_style": "path"}, request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )  # fmt: skip
        # With no keys given, the client looks for them as AWS's tools do.
        keys = {"aws_access_key_id": access_key_id or None, "aws_secret_access_key": secret_access_key or None}
        self._client: Any = boto3.session.Session().client(
            "s3", endpoint_url=endpoint, region_name=region, config=config, **keys
        )

    def look(self, place: ObjectPlace) -> ObjectVersion | None:
        """The newest version of an object, unread; None if there is none."""
        with _plain_errors(place):
            answer = self._client.head_object(Bucket=place.bucket, Key=place.key)
            return _version(place, answer["ETag"], answer["ContentLength"], answer["LastModified"])
        return None

    def read(self, version: ObjectVersion, stopping: threading.Event) -> ObjectContent | None:
        """Read a version to its end, a chunk at a time; None when `stopping` is set. Raises ReplacedError too."""
        digest, head, tail = hashlib.sha256(), b"", b""
        with _plain_errors(version.place):
            bucket, key = version.place
            body = self._client.get_object(Bucket=bucket, Key=key, IfMatch=version.etag)["Body"]
            with body:
                for chunk in body.iter_chunks(_CHUNK):
                    digest.update(chunk)
                    head += chunk[: HEAD_BYTES - len(head)]
                    tail = (tail + chunk)[-4:]
                    if stopping.is_set():
                        return None
            return ObjectContent(head, tail, digest.hexdigest())
        raise ReplacedError(f"{version.place} is gone")

    def pages(self, bucket: str) -> Iterator[list[ObjectVersion]]:
        """Everything in a bucket, some hundreds at a time."""
        paginator = self._client.get_paginator("list_objects_v2")
        with _plain_errors(ObjectPlace(bucket, ""), absent_is_fine=False):
            for page in paginator.paginate(Bucket=bucket):
                yield [
                    _version(ObjectPlace(bucket, entry["Key"]), entry["ETag"], entry["Size"], entry["LastModified"])
                    for entry in page.get("Contents", ())
                ]


def _version(place: ObjectPlace, etag: str, size: int, modified: datetime) -> ObjectVersion:
    # Listings tell fractions of seconds, single answers do not.
    stamp = Stamp(size, int(modified.timestamp()) * 1_000_000_000, etag.removeprefix("W/").strip('"'))
    return ObjectVersion(place, etag, stamp)


@contextmanager
def _plain_errors(place: ObjectPlace, *, absent_is_fine: bool = True) -> Iterator[None]:
    """What the client raises, as ours. That nothing is there passes silently if that is an answer."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ParamValidationError

    where = f"s3://{place.bucket}/{place.key}"
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status in _ABSENT and absent_is_fine:
            return
        if status in _REPLACED:
            raise ReplacedError(f"{where} was replaced") from error
        if status >= 500 or status in {0, 408, 429}:
            raise StoreAwayError(f"the store cannot answer about {where}: {error}") from error
        raise StoreRefusedError(f"the store does not let us read {where}: {error}") from error
    except ParamValidationError as error:
        raise StoreRefusedError(f"{where} is no place in a store: {error}") from error
    except (HTTPClientError, BotoCoreError, OSError) as error:
        raise StoreAwayError(f"the store does not answer about {where}: {error}") from error
