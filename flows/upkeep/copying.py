"""Copying files with their SHA-256, and saying plainly why a disk does not take them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.lake.folders import Folder
from flows.upkeep.errors import BackupError
from flows.upkeep.manifest import BackedUpFile

_CHUNK = 1 << 20


def copy_file(source: Folder, target: Path, relative: str) -> BackedUpFile:
    """Copy and hash what was read; on disk when it returns. Never a link, so that nothing is shared with the source."""
    digest, size, copy = hashlib.sha256(), 0, target / relative
    copy.parent.mkdir(parents=True, exist_ok=True)
    with source.open(relative) as read, copy.open("xb") as written:
        while chunk := read.read(_CHUNK):
            digest.update(chunk)
            size += written.write(chunk)
        written.flush()
        os.fsync(written.fileno())
    return BackedUpFile(path=relative, size_bytes=size, sha256=digest.hexdigest())


def hash_copied(path: Path) -> tuple[int, str]:
    """Size and SHA-256 of a file that was copied earlier. Raises OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def damage_of(root: Path, files: Iterable[BackedUpFile]) -> str | None:
    """What of the files below `root` is missing, or is not what was copied, by name; None if nothing is."""
    found = []
    for file in files:
        try:
            size, digest = hash_copied(root / file.path)
        except OSError as error:
            found.append(f"{file.path}: {error.strerror}")
        else:
            if (size, digest) != (file.size_bytes, file.sha256):
                found.append(f"{file.path}: {size} bytes, SHA-256 {digest[:12]}…, not the {file.size_bytes} copied")
    return "; ".join(found) or None


def write_whole(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as written:
        written.write(text)
        written.flush()
        os.fsync(written.fileno())
    partial.replace(path)


@contextmanager
def disk_trouble_told(what: str, where: Path) -> Iterator[None]:
    """Turn an OSError into a BackupError that names the place and the reason."""
    try:
        yield
    except OSError as error:
        raise BackupError(
            f"{what}: {error.filename or where}: {error.strerror or error}; nothing was deleted. "
            f"Make room in {where}, or let the lab write there"
        ) from error


def require_room(directory: Path, size_bytes: int, what: str) -> None:
    """Raise BackupError unless the directory's disk has that much free; the directory must exist."""
    free = shutil.disk_usage(directory).free
    if free < size_bytes:
        raise BackupError(
            f"{what} needs {size_bytes / 1e6:,.1f} MB and {directory} has {free / 1e6:,.1f} MB free; nothing was "
            "deleted. Make room, or set DATALAB_BACKUP_DIR to another disk"
        )
