"""What must be true before files of a table are deleted: nobody else needs them, and nobody else is writing.

The dataset's lock keeps the lab's own runs away; these checks are about everybody else. They read logs, without Spark.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from flows.lake.folders import Folder, base_of
from flows.lake.tables import Table
from flows.upkeep.errors import UnsafeError
from flows.upkeep.inventory import LakeTable, all_tables

# Runs of the lab are waited for at the lock. A commit that is younger than this, by something else, tells of another
# writer, whose next files may be on the disk already.
QUIET = timedelta(minutes=10)
_FEED = "delta.enableChangeDataFeed"


def require_safe(table: LakeTable, lake: Folder, vacuum_hours: int, now: datetime) -> None:
    """Raise UnsafeError with every reason against deleting files of the table."""
    reasons = [*_clones(table, lake), *_foreign_writer(table, now), *_feed_readers(table, vacuum_hours)]
    if reasons:
        raise UnsafeError(f"{table.full_name}: nothing was deleted: {'; '.join(reasons)}")


def _clones(table: LakeTable, lake: Folder) -> Iterator[str]:
    """Tables of the lake that use files of this one in place of copies."""
    for name in all_tables(lake):
        other = Table((lake / name).location)
        if other.folder.base != table.folder.base and any(
            path.startswith(f"{table.folder.base}/") for path in _outside(other)
        ):
            yield (
                f"{name} is a shallow clone of it and reads its files; make a table of its own of the clone, or drop it"
            )


def _outside(table: Table) -> Iterator[str]:
    """Files of the newest version that are not below the table, without their schemes."""
    import pyarrow as pa

    opened = table.opened()
    if opened is None:
        return
    for path in pa.table(opened.get_add_actions(flatten=True)).column("path").to_pylist():
        if "://" in path or path.startswith(("/", "file:")):
            yield base_of(unquote(path))


def _foreign_writer(table: LakeTable, now: datetime) -> Iterator[str]:
    """A commit of the last minutes that no run of the lab made: those name a run's Spark or this project's library."""
    log = table.folder / "_delta_log"
    newest = max((path for path in log.files() if path.endswith(".json") and "/" not in path), default=None)
    if newest is None:
        return
    info: dict[str, Any] = next((entry["commitInfo"] for line in log.read(newest).decode().splitlines()
                 if "commitInfo" in (entry := json.loads(line))), {})  # fmt: skip
    at = datetime.fromtimestamp(info.get("timestamp", 0) / 1000, UTC)
    engine = str(info.get("engineInfo") or info.get("clientVersion") or "")
    ours = engine.startswith(("Apache-Spark/", "delta-rs"))
    if not ours and now - at < QUIET:
        yield (
            f"{engine or 'something unknown'} committed to it {(now - at).total_seconds() / 60:.0f} minutes ago and "
            f"may be writing; run again when it has been quiet for {QUIET.total_seconds() / 60:.0f} minutes"
        )


def _feed_readers(table: LakeTable, vacuum_hours: int) -> Iterator[str]:
    """A change feed of which VACUUM would delete what its owner promised to keep."""
    properties = table.opened().metadata().configuration
    if properties.get(_FEED) != "true":
        return
    promised = properties.get("delta.deletedFileRetentionDuration", "interval 1 week")
    hours = _hours(promised)
    if hours is None or vacuum_hours < hours:
        yield (
            f"its change feed is read for {promised} (delta.deletedFileRetentionDuration) and "
            f"vacuum_hours={vacuum_hours} is less; raise vacuum_hours"
        )


def _hours(interval: str) -> float | None:
    """Hours of `interval 2 weeks`; None for what is no such text."""
    units = {"hour": 1, "day": 24, "week": 168, "minute": 1 / 60, "second": 1 / 3600}
    words = interval.lower().removeprefix("interval").split()
    try:
        return sum(
            float(number) * units[unit.rstrip("s")] for number, unit in zip(words[::2], words[1::2], strict=True)
        )
    except (KeyError, ValueError):
        return None
