"""A backup of one version of a table: copied, named when complete, restored elsewhere, compared. Only then it counts.

Hold the dataset's lock. A table that others write to nevertheless does no harm: the version is pinned.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from time import monotonic

from flows.upkeep.backup_store import BackupStore, stamp_of
from flows.upkeep.contents import content_of, shape_of
from flows.upkeep.copying import copy_file, disk_trouble_told, require_room, write_whole
from flows.upkeep.errors import BackupError
from flows.upkeep.inventory import LakeTable
from flows.upkeep.manifest import DATA, MANIFEST, VERIFIED, Manifest, Verification
from flows.upkeep.restore import restore
from flows.upkeep.snapshots import Snapshot, pin

_MARGIN = 1.05


@dataclass(frozen=True)
class Backup:
    """A verified backup, and what was tidied up around it."""

    path: Path
    manifest: Manifest
    leftovers_removed: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()


def back_up(
    table: LakeTable, store: BackupStore, scratch: Path, *, now: datetime, run_id: str | None, keep: int
) -> Backup:
    """Make a backup, verify it through a restore below `scratch`, and remove old ones beyond `keep`.

    Raises BackupError; the backups that were there before are then all still there.
    """
    what = f"backup of {table.full_name}"
    with disk_trouble_told(what, store.root):
        leftovers = store.clear_leftovers(table.full_name)
        snapshot = pin(table)
        _require_room_for(snapshot, store.root, scratch, what)
        made = copy_snapshot(table, snapshot, store, now=now, run_id=run_id)
        started = monotonic()
        manifest = verify(made, scratch)
        write_whole(made / VERIFIED, _mark(made, now, monotonic() - started).model_dump_json(indent=2))
        expired = store.keep_newest(table.full_name, keep, made)
    return Backup(made, manifest, tuple(leftovers), tuple(expired))


def copy_snapshot(
    table: LakeTable, snapshot: Snapshot, store: BackupStore, *, now: datetime, run_id: str | None
) -> Path:
    """Copy the files under a temporary name, then give the backup its own. It does not count yet."""
    partial = store.partial(table.full_name, stamp_of(now))
    files = [copy_file(snapshot.root, partial / DATA, path) for path in (*snapshot.files, *snapshot.log)]
    pinned = table.opened(snapshot.version)
    manifest = Manifest(
        table=table.full_name,
        dataset=table.dataset.name,
        source=str(snapshot.root),
        version=snapshot.version,
        created_at=now,
        run_id=run_id,
        files=tuple(files),
        # Read from the table, not from the copy: a copy that lacks something must not vouch for itself.
        content=content_of(pinned),
        shape=shape_of(pinned),
    )
    write_whole(partial / MANIFEST, manifest.model_dump_json(indent=1))
    return partial.rename(store.of(table.full_name) / stamp_of(now))


def verify(backup: Path, scratch: Path) -> Manifest:
    """Restore the backup to another place, which compares everything, and throw that away again."""
    place = scratch / backup.parent.parent.name / backup.parent.name
    shutil.rmtree(place, ignore_errors=True)  # what a killed run left
    try:
        return restore(backup, place / "restored")
    except BackupError as error:
        raise BackupError(f"the backup could not be verified, so nothing is deleted: {error}") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _mark(backup: Path, now: datetime, restore_s: float) -> Verification:
    digest = sha256((backup / MANIFEST).read_bytes()).hexdigest()
    return Verification(verified_at=now, manifest_sha256=digest, restore_s=round(restore_s, 3))


def _require_room_for(snapshot: Snapshot, store: Path, scratch: Path, what: str) -> None:
    store.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    size = int(snapshot.size_bytes * _MARGIN)
    if store.stat().st_dev == scratch.stat().st_dev:
        require_room(store, 2 * size, f"{what} with its trial restore")
    else:
        require_room(store, size, what)
        require_room(scratch, size, f"the trial restore of {what.removeprefix('backup of ')}")
