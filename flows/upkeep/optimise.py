"""OPTIMIZE and VACUUM through Spark: small files become large ones, and files that no version needs any more go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.lake.folders import Folder
from flows.lake.tables import ident
from flows.upkeep.errors import UpkeepError
from flows.upkeep.inventory import LakeTable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MIN_RETAIN_HOURS = 168
# VACUUM … DRY RUN names no more than this many.
PREVIEW_LIMIT = 1000
_LOG_TOO_SHORT = "DELTA_CANNOT_VACUUM_LITE"


@dataclass(frozen=True)
class Compaction:
    """What OPTIMIZE did; nothing if there was nothing to merge."""

    files_removed: int
    files_added: int


@dataclass(frozen=True)
class Cleaning:
    """What VACUUM took off the disk, or out of the store."""

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
    """Delete files that no version of the last `hours` needs; measured by what lies there.

    LITE finds them by the log and lists nothing. All is listed only where that cannot be enough: where the log does not
    go back far enough, or there are files that it never knew, as killed writes leave them.
    """
    require_safe_retention(hours)
    before = _there(table.folder)
    if not _vacuumed_by_the_log(spark, table, hours) or _unknown_to_the_log(table, hours):
        spark.sql(f"VACUUM {table.table.sql} RETAIN {hours:d} HOURS").collect()
    gone = before.keys() - _there(table.folder).keys()
    return Cleaning(len(gone), sum(before[path] for path in gone))


def _vacuumed_by_the_log(spark: SparkSession, table: LakeTable, hours: int) -> bool:
    try:
        spark.sql(f"VACUUM {table.table.sql} LITE RETAIN {hours:d} HOURS").collect()
    except Exception as error:
        if _LOG_TOO_SHORT in str(error):
            return False
        raise
    return True


def _unknown_to_the_log(table: LakeTable, hours: int) -> bool:
    return bool(table.opened().vacuum(retention_hours=hours, dry_run=True, full=True))


def _there(folder: Folder) -> dict[str, int]:
    files = ((path, entry.size_bytes) for path, entry in folder.files().items() if not path.startswith("_delta_log/"))
    return {path: size for path, size in files if not path.rsplit("/", 1)[-1].startswith(".")}
