"""Reading a file that seems complete: it is this file still, may be what its name says, and has this hash.

Blocks; call it in a thread. Memory stays flat whatever the file's size.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from schemas.envelope import event_id
from schemas.files import FileFormat
from schemas.sources import Source
from services.ingest.content import HEAD_BYTES, content_fault
from services.ingest.file_event import modified_at, uri_of
from services.ingest.listing import Found, within
from services.ingest.placement import Placement, dataset_of, place
from services.ingest.settling import Stamp

_CHUNK = 1024 * 1024
# What this process lacks for the moment; no file is to blame for it.
_PASSING = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN, errno.ESTALE))


@dataclass(frozen=True)
class Arrived:
    """A complete file. The same content at the same place always has the same event id."""

    dataset: str
    format: FileFormat
    sha256: str
    event_id: str


@dataclass(frozen=True)
class Refused:
    """A file that will not be taken as it is. `reason` is for people."""

    reason: str
    dataset: str | None


@dataclass(frozen=True)
class Changed:
    """It changed while it was read, or was not what had been listed."""


@dataclass(frozen=True)
class Vanished:
    """It is not there any more, or the service stops."""


Verdict = Arrived | Refused | Changed | Vanished


def inspect(found: Found, root: Path, datasets: Mapping[str, Source], stopping: threading.Event) -> Verdict:
    """Decide about one file. Never raises for what a file can be; ends early when `stopping` is set."""
    relative = Path(found.path).relative_to(root)
    refused = partial(Refused, dataset=dataset_of(relative, datasets))
    if found.refusal is not None:
        return refused(found.refusal)
    placement = place(relative, datasets)
    if isinstance(placement, str):
        return refused(placement)
    if fault := _name_fault(found):
        return refused(fault)
    try:
        return _read(found, placement, root, stopping)
    except FileNotFoundError:
        return Vanished()
    except OSError as error:
        # A refusal would stand until somebody touched the file; as changed it is looked at again.
        unreadable = refused(f"it cannot be read: {error.strerror or error}; mend that and touch the file")
        return Changed() if error.errno in _PASSING else unreadable


def _read(found: Found, placement: Placement, root: Path, stopping: threading.Event) -> Verdict:
    with _opened(found.path, root) as descriptor:
        if _stamp(os.fstat(descriptor)) != found.stamp:
            return Changed()
        fault = _content_fault(descriptor, placement.format)
        digest = None if fault else _sha256(descriptor, stopping)
        # By its descriptor and by its path: it may have been written to, or another file put in its place.
        if {_stamp(os.fstat(descriptor)), _stamp(Path(found.path).stat())} != {found.stamp}:
            return Changed()
    if fault:
        return Refused(fault, placement.dataset)
    if digest is None:
        return Vanished()
    return Arrived(placement.dataset, placement.format, digest, event_id(uri_of(found.path), digest))


def _name_fault(found: Found) -> str | None:
    try:
        found.path.encode()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8; rename it"
    try:
        modified_at(found.stamp.mtime_ns)
    except (OverflowError, ValueError):
        return "its time of change is out of range; touch it"
    return None


@contextmanager
def _opened(path: str, root: Path) -> Iterator[int]:
    """The file behind a path, never one outside of the root, and never waiting for a pipe's other end."""
    target = os.path.realpath(path)
    if not within(target, os.path.realpath(root)):
        raise PermissionError(0, "it leads out of the landing directory")
    descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PermissionError(0, "it is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def _content_fault(descriptor: int, format_: FileFormat) -> str | None:
    size = os.fstat(descriptor).st_size
    return content_fault(os.pread(descriptor, HEAD_BYTES, 0), os.pread(descriptor, 4, max(0, size - 4)), format_)


def _sha256(descriptor: int, stopping: threading.Event) -> str | None:
    digest = hashlib.sha256()
    while chunk := os.read(descriptor, _CHUNK):
        digest.update(chunk)
        if stopping.is_set():
            return None
    return digest.hexdigest()


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns)
