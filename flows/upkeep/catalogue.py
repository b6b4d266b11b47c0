"""Which backups there are, whether each still is what it was, and which one is meant by a table and a version.

Nothing here changes a backup: a damaged one is named and left for people to look at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from flows.upkeep.backup_store import BackupStore
from flows.upkeep.copying import damage_of
from flows.upkeep.errors import BackupError
from flows.upkeep.manifest import DATA, read_manifest, read_verification


@dataclass(frozen=True)
class Kept:
    """A backup that counts. `damage` says what is wrong with it; None if nothing was found. Of one whose manifest
    cannot be read nothing else is known."""

    table: str
    path: Path
    version: int | None = None
    rows: int | None = None
    files: int | None = None
    size_bytes: int | None = None
    created_at: datetime | None = None
    restore_s: float | None = None
    damage: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """In plain types, for JSON."""
        made = self.created_at.isoformat() if self.created_at else None
        return {**self.__dict__, "path": str(self.path), "created_at": made}


def kept(store: BackupStore, table: str | None = None) -> Iterator[Kept]:
    """The backups by table, the newest first; raises BackupError for a table that has none."""
    tables = store.tables()
    if table is not None and table not in tables:
        known = f"tables with backups: {', '.join(tables)}" if tables else f"there are no backups in {store.root}"
        raise BackupError(f"{table}: has no backup; {known}")
    for name in tables if table is None else [table]:
        for path in store.verified(name):
            yield _described(name, path)


def checked(backup: Kept) -> Kept:
    """The same after every file was read: damaged if one is missing, or is not what was copied."""
    if backup.damage is not None:
        return backup
    damage = damage_of(backup.path / DATA, read_manifest(backup.path).files)
    return Kept(**{**backup.__dict__, "damage": damage})


def chosen(store: BackupStore, table: str, version: int | None) -> Kept:
    """The newest backup of the table, or the newest of that version; raises BackupError that lists what there is."""
    found = [backup for backup in kept(store, table) if backup.damage is None]
    if version is None and found:
        return found[0]
    for backup in found:
        if backup.version == version:
            return backup
    versions = ", ".join(str(backup.version) for backup in found) or "none that can be read"
    raise BackupError(f"{table}: there is no backup of version {version}; versions: {versions}")


def _described(table: str, path: Path) -> Kept:
    try:
        manifest, mark = read_manifest(path), read_verification(path)
    except BackupError as error:
        return Kept(table, path, damage=str(error))
    return Kept(
        table=table,
        path=path,
        version=manifest.version,
        rows=manifest.content.rows,
        files=len(manifest.files),
        size_bytes=manifest.size_bytes,
        created_at=manifest.created_at,
        restore_s=mark.restore_s if mark else None,
    )
