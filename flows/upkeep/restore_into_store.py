"""Restore a table into an S3 store. Nothing can be renamed there in one step, so that the order is everything: a reader
finds what was there before, no table for a moment, or all of what was restored.

1. The backup's files are checked. 2. What is at the place is copied aside, in the store, and stays. 3. It is taken
away, its doors first (`log_order`). 4. The backup is put, its doors last, and compared. A small object beside the table
says how far that is, so that a killed restore is finished by the same command.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from flows.lake.folders import Folder
from flows.lake.tables import Table
from flows.upkeep.backup_store import stamp_of
from flows.upkeep.copying import damage_of
from flows.upkeep.errors import BackupError
from flows.upkeep.log_order import doors, putting_order
from flows.upkeep.manifest import DATA, Manifest, read_manifest
from flows.upkeep.restore import compare

_CHUNK = 1 << 20


class Begun(BaseModel):
    """How far a restore is. `aside` is where what was there is copied to, if there was something; once that is
    `complete`, what has no doors at the place may go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    aside: str | None
    complete: bool


def restore_into_store(
    backup: Path, target: Folder, *, replace: bool, say: Callable[[str], None] = lambda _: None
) -> Manifest:
    """Put the backed-up table at `target`; returns the manifest that it was held against. Raises BackupError.

    With `replace`, what is at `target` is copied to TARGET.replaced-TIME first, and kept there. Hold the dataset.
    """
    manifest = read_manifest(backup)
    if damage := damage_of(backup / DATA, manifest.files):
        raise BackupError(f"{backup}: the backup is damaged: {damage}")
    mark = _Mark(target)
    with _store_trouble_told(f"restore of {backup}", target):
        begun = mark.read()
        if not _goes_on(target, begun, manifest):
            _make_way(target, mark, begun, replace=replace, say=say)
        _put(backup / DATA, target, manifest, say)
        _compare(target, manifest, mark.read())
        mark.remove()
    return manifest


def _goes_on(target: Folder, begun: Begun | None, manifest: Manifest) -> bool:
    """Whether all that is there was put by an earlier try of this."""
    sizes = {file.path: file.size_bytes for file in manifest.files}
    return begun is not None and begun.complete and _sizes(target).items() <= sizes.items()


def _make_way(target: Folder, mark: _Mark, begun: Begun | None, *, replace: bool, say: Callable[[str], None]) -> None:
    """Nothing is at the place any more when it returns; what can be read as a table is then aside."""
    there = _sizes(target)
    aside = begun.aside if begun is not None and begun.complete else None
    if there and not _may_go(there, begun):
        if not replace:
            raise BackupError(
                f"{target}: there is something already; choose another place or, for a table, use --replace"
            )
        if begun is not None and not begun.complete and begun.aside is not None:
            _clear(Folder(begun.aside))  # the copy that was cut short; what it is of is still whole
        aside = f"{target}.replaced-{stamp_of(datetime.now(UTC))}"
        say(f"what is there is copied to {aside} first: {len(there)} files")
        mark.write(Begun(aside=aside, complete=False))
        _copy(target, Folder(aside))
    mark.write(Begun(aside=aside, complete=True))
    _clear(target)


def _may_go(there: Mapping[str, int], begun: Begun | None) -> bool:
    """Whether it is no table any more, or all of it is aside; both after an earlier try alone."""
    if begun is None or not begun.complete:
        return False
    aside = _sizes(Folder(begun.aside)) if begun.aside is not None else {}
    return not doors(there) or there.items() <= aside.items()


def _sizes(folder: Folder) -> dict[str, int]:
    return {path: entry.size_bytes for path, entry in folder.files().items()}


def _copy(source: Folder, copy: Folder) -> None:
    """Within the store; raises BackupError if not all has arrived."""
    files, store = source.files(), source.file_system()
    for path in putting_order(files):
        store.copy_file(f"{source.base}/{path}", f"{copy.base}/{path}")
    if _sizes(copy) != {path: entry.size_bytes for path, entry in files.items()}:
        raise BackupError(f"{copy}: is not what {source} is, which was left as it is; somebody may be writing to it")


def _clear(folder: Folder) -> None:
    """Take away all that is in it; from the first step on nobody finds a table there, or the whole one."""
    store = folder.file_system()
    for path in reversed(putting_order(folder.files())):
        store.delete_file(f"{folder.base}/{path}")


def _put(source: Path, target: Folder, manifest: Manifest, say: Callable[[str], None]) -> None:
    """What is not there yet. An object that was cut short is none."""
    there, store = target.files(), target.file_system()
    missing = [path for path in putting_order(file.path for file in manifest.files) if path not in there]
    say(f"{len(missing)} of {len(manifest.files)} files, {manifest.size_bytes / 1e6:,.1f} MB in all, go to {target}")
    for path in missing:
        with (source / path).open("rb") as read, store.open_output_stream(f"{target.base}/{path}") as written:
            shutil.copyfileobj(read, written, _CHUNK)


def _compare(target: Folder, manifest: Manifest, begun: Begun | None) -> None:
    try:
        compare(Table(target.location), manifest)
    except BackupError as error:
        _clear(target)
        kept = f"; what was there is in {begun.aside}" if begun and begun.aside else ""
        raise BackupError(f"{error}; it was taken away again{kept}") from error


class _Mark:
    """`.NAME.restoring` beside the table."""

    def __init__(self, target: Folder) -> None:
        parent, _, name = target.location.rstrip("/").rpartition("/")
        self._folder, self._name = Folder(parent), f".{name}.restoring"

    def read(self) -> Begun | None:
        """Of an earlier try, or of this one; None if there is none."""
        if self._folder.size_of(self._name) is None:
            return None
        try:
            return Begun.model_validate_json(self._folder.read(self._name))
        except ValidationError as error:
            raise BackupError(f"{self._folder}/{self._name}: is no mark of a restore; look at it, remove it") from error

    def write(self, begun: Begun) -> None:
        with self._folder.file_system().open_output_stream(f"{self._folder.base}/{self._name}") as written:
            written.write(begun.model_dump_json().encode())

    def remove(self) -> None:
        self._folder.file_system().delete_file(f"{self._folder.base}/{self._name}")


@contextmanager
def _store_trouble_told(what: str, target: Folder) -> Iterator[None]:
    """Turn an OSError into a BackupError that says what to do."""
    try:
        yield
    except OSError as error:
        reason = " ".join(str(error).split())
        raise BackupError(f"{what} to {target}: {reason}; once the store answers, the same command goes on") from error
