"""What each table weighs and how it grew: rows, files, bytes, versions, small files. Reads Delta without Spark.

The figures of the last maintenance are kept in one JSON file, so that the next one can tell the growth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError

from flows.upkeep.copying import write_whole
from flows.upkeep.inventory import LakeTable

# OPTIMIZE merges files up to 1 GB; a file far below is small if another of its partition could take it in.
SMALL_FILE_BYTES = 16 * 1024 * 1024
# Commits that change no row: a table is not fresh because maintenance was there.
_UPKEEP = ("OPTIMIZE", "VACUUM START", "VACUUM END")


class TableUsage(BaseModel):
    """`files` and `size_bytes` are the newest version's; `disk_bytes` counts all that lies on the disk, also what only
    older versions need. `small_files` could be merged by OPTIMIZE."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str
    version: int
    versions_kept: int
    rows: int
    files: int
    size_bytes: int
    disk_bytes: int
    small_files: int
    last_write: AwareDatetime | None
    last_operation: str
    measured_at: AwareDatetime


_Figures = TypeAdapter(dict[str, TableUsage])


def usage_of(table: LakeTable, now: datetime) -> TableUsage:
    """The table's figures now."""
    import pyarrow as pa

    delta = table.opened()
    files = pa.table(delta.get_add_actions(flatten=True)).to_pylist()
    rows = [file["num_records"] for file in files]
    history = delta.history()
    writes = [commit for commit in history if commit.get("operation") not in _UPKEEP]
    return TableUsage(
        table=table.full_name,
        version=delta.version(),
        versions_kept=len(history),
        rows=sum(rows) if None not in rows else delta.count(),
        files=len(files),
        size_bytes=sum(file["size_bytes"] for file in files),
        disk_bytes=sum(file.size_bytes for file in table.folder.files().values()),
        small_files=small_files((file["path"], file["size_bytes"]) for file in files),
        last_write=datetime.fromtimestamp(writes[0]["timestamp"] / 1000, UTC) if writes else None,
        last_operation=str(writes[0].get("operation", "")) if writes else "",
        measured_at=now,
    )


def small_files(files: Iterable[tuple[str, int]]) -> int:
    """Files below SMALL_FILE_BYTES that share their partition with another such file."""
    small = Counter(PurePosixPath(path).parent for path, size in files if size < SMALL_FILE_BYTES)
    return sum(count for count in small.values() if count > 1)


def mergeable(table: LakeTable) -> int:
    """How many files OPTIMIZE could merge, by the table's log."""
    import pyarrow as pa

    files = pa.table(table.opened().get_add_actions(flatten=True)).to_pylist()
    return small_files((file["path"], file["size_bytes"]) for file in files)


def remembered(path: Path) -> dict[str, TableUsage]:
    """The figures of earlier runs by table; none if there are none that can be read."""
    try:
        return _Figures.validate_json(path.read_bytes())
    except (OSError, ValidationError):  # growth is a convenience: without it the report shows a dash
        return {}


def remember(path: Path, usages: Iterable[TableUsage]) -> None:
    """Keep the figures beside those of tables that this run did not look at."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figures = remembered(path) | {usage.table: usage for usage in usages}
    write_whole(path, _Figures.dump_json(figures, indent=1).decode())
