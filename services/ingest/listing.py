"""Listing the landing tree: every file there, with what can be refused without opening it.

Blocks; call it in a thread. It follows no link to a directory, so it ends, and opens no file, so no pipe can hold it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from services.ingest.placement import format_of, ignored
from services.ingest.settling import Stamp

_NOTHING = Stamp(0, 0)
_DIRECTORY = "it is a directory with the name of a data file: put the files in it into the dataset's directory"


@dataclass(frozen=True, slots=True)
class Found:
    """A file as it was listed. `refusal` is the reason not to read it, if there is one."""

    path: str
    stamp: Stamp
    refusal: str | None = None


@dataclass(frozen=True)
class Listing:
    """What one look showed. `faults` names directories that could not be read, `directories` those that were."""

    found: dict[str, Found] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    directories: list[str] = field(default_factory=list)


def list_landing(root: Path) -> Listing:
    """List the tree below `root`; what vanishes meanwhile is left out. Raises OSError if `root` cannot be read."""
    listing = Listing()
    pending = [os.fspath(root)]
    real_root = os.path.realpath(root)
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(directory) as entries:
                listing.directories.append(directory)
                for entry in entries:
                    _take(entry, real_root, listing, pending)
        except FileNotFoundError:
            if directory == os.fspath(root):
                raise
        except OSError as error:
            if directory == os.fspath(root):
                raise
            listing.faults[directory] = f"cannot be listed: {error.strerror}"
    return listing


def look_at(paths: Iterable[str], root: Path) -> dict[str, Found]:
    """Those of the paths that a listing would find now, as it would find them. They must lie below `root`."""
    real_root = os.path.realpath(root)
    found = {}
    for path in paths:
        *above, name = PurePath(path).relative_to(root).parts
        if ignored(name) or any(ignored(part) or format_of(part) is not None for part in above):
            continue
        try:
            status = os.lstat(path)
            if not stat.S_ISDIR(status.st_mode):
                found[path] = _file(path, status, real_root)
        except OSError:
            continue
    return found


def within(path: str, real_root: str) -> bool:
    """Whether a resolved path lies below the resolved root."""
    return path.startswith(real_root.rstrip(os.sep) + os.sep)


def _take(entry: os.DirEntry[str], real_root: str, listing: Listing, pending: list[str]) -> None:
    if ignored(entry.name):
        return
    try:
        if not entry.is_dir(follow_symlinks=False):
            listing.found[entry.path] = _file(entry.path, entry.stat(follow_symlinks=False), real_root)
        elif format_of(entry.name) is None:
            pending.append(entry.path)
        else:
            # Its own stamp would change with each file put into it, and be refused again each time.
            listing.found[entry.path] = Found(entry.path, _NOTHING, _DIRECTORY)
    except FileNotFoundError:
        return


def _file(path: str, status: os.stat_result, real_root: str) -> Found:
    if stat.S_ISLNK(status.st_mode):
        return _linked(path, _stamp(status), real_root)
    if not stat.S_ISREG(status.st_mode):
        return Found(path, _NOTHING, "it is not a regular file but a pipe, socket or device")
    return Found(path, _stamp(status))


def _linked(path: str, own: Stamp, real_root: str) -> Found:
    target = os.path.realpath(path)
    if not within(target, real_root):
        return Found(path, own, "it is a symbolic link to a place outside of the landing directory")
    try:
        status = Path(target).stat()
    except OSError:
        return Found(path, own, "it is a symbolic link to nothing")
    if not stat.S_ISREG(status.st_mode):
        return Found(path, own, "it is a symbolic link to something that is not a file")
    return Found(path, _stamp(status))


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns)
