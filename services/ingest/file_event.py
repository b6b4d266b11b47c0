"""The event of a file, made from its row in the ledger alone: made again after a crash, it is the same to the byte."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote

from datalab.store.tables.ingest import FileRow
from schemas.envelope import Event, new_event
from schemas.files import FileArrived

SOURCE = "datalab/ingest"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_S3 = "s3://"


class ObjectPlace(NamedTuple):
    """Where an object is; the key as the store has it, not encoded."""

    bucket: str
    key: str


def object_path(place: ObjectPlace) -> str:
    """The path that stands for an object in the ledger, which no file can have."""
    return f"{_S3}{place.bucket}/{place.key}"


def object_place(path: str) -> ObjectPlace | None:
    """The object that a path of the ledger stands for; None for a file's."""
    if not path.startswith(_S3):
        return None
    bucket, _, key = path.removeprefix(_S3).partition("/")
    return ObjectPlace(bucket, key)


def uri_of(path: str) -> str:
    """The percent-encoded URI of a file or object, by its path in the ledger."""
    place = object_place(path)
    return Path(path).as_uri() if place is None else f"{_S3}{place.bucket}/{quote(place.key)}"


def modified_at(mtime_ns: int) -> datetime:
    """A file's time of change, in UTC; raises OverflowError where no datetime reaches."""
    return _EPOCH + timedelta(microseconds=mtime_ns // 1000)


def file_event(row: FileRow) -> Event:
    """The `lab.file.arrived.v1` of a row that is pending or published; raises ValueError for a row that has none."""
    data = FileArrived.model_validate(
        {
            "uri": uri_of(row.path),
            "path": row.path if (place := object_place(row.path)) is None else place.key,
            "name": PurePosixPath(row.path).name,
            "dataset": row.dataset,
            "format": row.format,
            "size_bytes": row.size_bytes,
            "sha256": row.sha256,
            "modified_at": modified_at(row.mtime_ns),
        }
    )
    return new_event(data, source=SOURCE, id=row.event_id, time=row.first_seen_at)
