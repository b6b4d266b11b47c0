"""Restore a table from a backup: every file by its SHA-256, then version, rows and content. All of it, or nothing.

    python -m flows.upkeep.restore --list
    python -m flows.upkeep.restore BACKUP TARGET [--replace]

See docs/operations/restore.md.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flows.upkeep.backup_store import BackupStore, stamp_of
from flows.upkeep.contents import content_of
from flows.upkeep.copying import copy_file, disk_trouble_told
from flows.upkeep.errors import BackupError
from flows.upkeep.manifest import DATA, Manifest, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator


def restore(backup: Path, target: Path, *, replace: bool = False) -> Manifest:
    """Put the backed-up table at `target`; returns the manifest that it was held against. Raises BackupError.

    With `replace`, what is at `target` is moved aside to TARGET.replaced-TIME and never deleted. Hold the dataset.
    """
    manifest = read_manifest(backup)
    if target.is_symlink() or (target.exists() and (not target.is_dir() or (any(target.iterdir()) and not replace))):
        raise BackupError(f"{target}: there is something already; choose another place or, for a table, use --replace")
    partial = target.with_name(f".{target.name}.restoring")
    shutil.rmtree(partial, ignore_errors=True)  # what a killed restore left
    try:
        with disk_trouble_told(f"restore of {backup}", target.parent):
            _copy_checked(backup / DATA, partial, manifest)
            _compare(partial, manifest)
            if target.exists():
                _set_aside(target)
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _copy_checked(source: Path, target: Path, manifest: Manifest) -> None:
    target.mkdir(parents=True)
    for file in manifest.files:
        copied = copy_file(source, target, file.path)
        if copied != file:
            raise BackupError(
                f"{source / file.path}: the backup is damaged: {copied.size_bytes} bytes with SHA-256 "
                f"{copied.sha256[:12]}…, its manifest says {file.size_bytes} with {file.sha256[:12]}…"
            )


def _compare(restored: Path, manifest: Manifest) -> None:
    from deltalake import DeltaTable

    try:
        version = DeltaTable(str(restored)).version()
        content = content_of(restored, version)
    except Exception as error:  # whatever a reader of Delta says of a table that is not one
        raise BackupError(f"{manifest.table}: what was restored cannot be read: {error}") from error
    if version != manifest.version:
        raise BackupError(f"{manifest.table}: version {manifest.version} was restored as version {version}")
    if difference := manifest.content.difference(content):
        raise BackupError(f"{manifest.table}: what was restored is not what was backed up: {difference}")


def _set_aside(target: Path) -> None:
    if any(target.iterdir()):
        target.rename(target.with_name(f"{target.name}.replaced-{stamp_of(datetime.now(UTC))}"))
    else:
        target.rmdir()


@contextmanager
def _dataset_held(dataset: str) -> Iterator[None]:
    """No run may write the dataset while one of its tables changes places."""
    from flows.config import FlowSettings
    from flows.lake.locks import dataset_lock
    from flows.lake.tables import Lake

    settings = FlowSettings()
    locks = Lake(settings.lake_root, settings.datalab_home).work / "locks"
    with dataset_lock(locks, dataset, wait_s=settings.lock_wait_s, say=_say):
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. 0 when the table is restored and compared, 1 with a plain line otherwise."""
    parser = argparse.ArgumentParser(prog="python -m flows.upkeep.restore", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("backup", nargs="?", type=Path, help="directory of the backup, as --list shows it")
    parser.add_argument("target", nargs="?", type=Path, help="directory that the table shall be in")
    parser.add_argument("--replace", action="store_true", help="move what is at TARGET aside first")
    parser.add_argument("--list", action="store_true", help="show the verified backups and end")
    given = parser.parse_args(arguments)
    if given.list:
        return _list_backups()
    if given.backup is None or given.target is None:
        parser.error("BACKUP and TARGET are needed, or --list")
    return _restore(given.backup.absolute(), given.target.absolute(), replace=given.replace)


def _restore(backup: Path, target: Path, *, replace: bool) -> int:
    from flows.errors import FlowError

    try:
        with _dataset_held(read_manifest(backup).dataset):
            manifest = restore(backup, target, replace=replace)
    except FlowError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    _say(
        f"{manifest.table}, version {manifest.version}, {manifest.content.rows:,} rows in {len(manifest.files)} files, "
        f"as of {manifest.created_at:%Y-%m-%d %H:%M} UTC: restored to {target} and compared"
    )
    return 0


def _list_backups() -> int:
    from flows.config import FlowSettings

    store = BackupStore(FlowSettings().backups)
    for table in store.tables():
        for backup in store.verified(table):
            try:
                manifest = read_manifest(backup)
            except BackupError as error:
                _say(str(error))
            else:
                _say(f"{table}  version {manifest.version}  {manifest.content.rows:,} rows  {backup}")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
