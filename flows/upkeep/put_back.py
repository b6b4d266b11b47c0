"""A backup is put back on a disk or into an S3 store, as its place says, while no run writes the dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from datalab.runtime.s3_lake import in_s3
from flows.lake.folders import Folder
from flows.lake.locks import dataset_lock
from flows.lake.tables import Lake, Table
from flows.upkeep.errors import BackupError
from flows.upkeep.manifest import Manifest, read_manifest
from flows.upkeep.restore import restore
from flows.upkeep.restore_into_store import restore_into_store

if TYPE_CHECKING:
    from flows.config import FlowSettings


def place_of(table: str, settings: FlowSettings, to: str | None) -> str:
    """Where LAYER/NAME is put: `to`, or its own place in the lake. An absolute path, or s3://BUCKET/PREFIX.

    Raises BackupError for a place that is reached by Spark alone.
    """
    location = to or f"{settings.lake_root.rstrip('/')}/{table}"
    if in_s3(location):
        if "/" not in Folder(location).base:
            raise BackupError(f"{location}: is a whole bucket; say where in it, such as {location.rstrip('/')}/{table}")
        return location
    directory = Table(location).local
    if directory is None:
        raise BackupError(
            f"{location}: backups are put back on a local disk or into an S3 store (s3://BUCKET/PREFIX). Give such a "
            "place with --to, and copy from there"
        )
    return str(directory.absolute())


def restore_held(
    backup: Path, place: str, *, replace: bool, settings: FlowSettings, say: Callable[[str], None]
) -> Manifest:
    """Restore to the place, all of it or nothing. Raises BackupError, and LakeBusyError if a run is at work for too
    long."""
    locks = Lake(settings.lake_root, settings.datalab_home).work / "locks"
    with dataset_lock(locks, read_manifest(backup).dataset, wait_s=settings.lock_wait_s, say=say):
        if in_s3(place):
            return restore_into_store(backup, Folder(place), replace=replace, say=say)
        return restore(backup, Path(place), replace=replace)
