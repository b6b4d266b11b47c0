"""Restore a table from a backup: every file by its SHA-256, then version, rows and content. All of it, or nothing.

`datalab backup restore` is the command; see docs/operations/restore.md.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from flows.lake.folders import Folder
from flows.lake.tables import Table
from flows.upkeep.backup_store import stamp_of
from flows.upkeep.contents import content_of, shape_of
from flows.upkeep.copying import copy_file, disk_trouble_told
from flows.upkeep.errors import BackupError
from flows.upkeep.manifest import DATA, Manifest, read_manifest


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
            compare(Table(str(partial)), manifest)
            if target.exists():
                _set_aside(target)
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _copy_checked(source: Path, target: Path, manifest: Manifest) -> None:
    target.mkdir(parents=True)
    for file in manifest.files:
        copied = copy_file(Folder(str(source)), target, file.path)
        if copied != file:
            raise BackupError(
                f"{source / file.path}: the backup is damaged: {copied.size_bytes} bytes with SHA-256 "
                f"{copied.sha256[:12]}…, its manifest says {file.size_bytes} with {file.sha256[:12]}…"
            )


def compare(restored: Table, manifest: Manifest) -> None:
    """Raise BackupError unless a reader finds there what was backed up: version, rows, values, schema, protocol."""
    from deltalake import DeltaTable

    try:
        location, options = restored.for_readers or (restored.path, {})
        table = DeltaTable(location, storage_options=options)
        version, content = table.version(), content_of(table)
    except Exception as error:  # whatever a reader of Delta says of a table that is not one
        raise BackupError(f"{manifest.table}: what was restored cannot be read: {error}") from error
    if version != manifest.version:
        raise BackupError(f"{manifest.table}: version {manifest.version} was restored as version {version}")
    difference = manifest.content.difference(content)
    if difference is None and manifest.shape is not None:
        difference = manifest.shape.difference(shape_of(table))
    if difference:
        raise BackupError(f"{manifest.table}: what was restored is not what was backed up: {difference}")


def _set_aside(target: Path) -> None:
    if any(target.iterdir()):
        target.rename(target.with_name(f"{target.name}.replaced-{stamp_of(datetime.now(UTC))}"))
    else:
        target.rmdir()
