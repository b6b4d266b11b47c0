"""OPTIMIZE and VACUUM through Spark: small files become large ones, and files that no version needs any more go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.lake.tables import ident
from flows.upkeep.errors import UpkeepError
from flows.upkeep.inventory import LakeTable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MIN_RETAIN_HOURS = 168
# VACUUM … DRY RUN names no more than this many.
PREVIEW_LIMIT = 1000


@dataclass(frozen=True)
class Compaction:
    """What OPTIMIZE did; nothing if there was nothing to merge."""

    files_removed: int
    files_added: int


@dataclass(frozen=True)
class Cleaning:
    """What VACUUM took off the disk."""

    files: int
    size_bytes: int


def require_safe_retention(hours: int) -> None:
    """Raise UpkeepError for a retention under which VACUUM could take files from readers and from time travel."""
    if hours < MIN_RETAIN_HOURS:
        raise UpkeepError(
            f"vacuum_hours={hours}: must be at least {MIN_RETAIN_HOURS} (a week); with less, VACUUM could delete files "
            "that a running query or a model's pinned version still reads"
        )


def optimise(spark: SparkSession, table: LakeTable) -> Compaction:
    """Merge small files. The rows stay as they are, and so do the old files until a VACUUM a week later."""
    columns = ", ".join(map(ident, table.zorder))
    order = f" ZORDER BY ({columns})" if columns else ""
    metrics = spark.sql(f"OPTIMIZE {table.table.sql}{order}").collect()[0]["metrics"]
    return Compaction(int(metrics["numFilesRemoved"]), int(metrics["numFilesAdded"]))


def vacuum_preview(spark: SparkSession, table: LakeTable, hours: int) -> int:
    """How many files a VACUUM would delete, counted up to PREVIEW_LIMIT."""
    require_safe_retention(hours)
    return len(spark.sql(f"VACUUM {table.table.sql} RETAIN {hours:d} HOURS DRY RUN").collect())


def vacuum(spark: SparkSession, table: LakeTable, hours: int) -> Cleaning:
    """Delete files that no version of the last `hours` needs; measured on the disk."""
    require_safe_retention(hours)
    before = _on_disk(table.path)
    spark.sql(f"VACUUM {table.table.sql} RETAIN {hours:d} HOURS").collect()
    gone = before.keys() - _on_disk(table.path).keys()
    return Cleaning(len(gone), sum(before[path] for path in gone))


def _on_disk(root: Path) -> dict[Path, int]:
    files = (path for path in root.rglob("*") if path.is_file() and "_delta_log" not in path.parts)
    return {path: path.stat().st_size for path in files if not path.name.startswith(".")}
