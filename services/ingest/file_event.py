"""The event of a file, made from its row in the ledger alone: made again after a crash, it is the same to the byte."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from datalab.store.tables.ingest import FileRow
from schemas.envelope import Event, new_event
from schemas.files import FileArrived

SOURCE = "datalab/ingest"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def modified_at(mtime_ns: int) -> datetime:
    """A file's time of change, in UTC; raises OverflowError where no datetime reaches."""
    return _EPOCH + timedelta(microseconds=mtime_ns // 1000)


def file_event(row: FileRow) -> Event:
    """The `lab.file.arrived.v1` of a row that is pending or published; raises ValueError for a row that has none."""
    path = Path(row.path)
    data = FileArrived.model_validate(
        {
            "uri": path.as_uri(),
            "path": row.path,
            "name": path.name,
            "dataset": row.dataset,
            "format": row.format,
            "size_bytes": row.size_bytes,
            "sha256": row.sha256,
            "modified_at": modified_at(row.mtime_ns),
        }
    )
    return new_event(data, source=SOURCE, id=row.event_id, time=row.first_seen_at)
