"""Reports and lineage of runs long ago: a file for each, that nothing reads but people."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from stat import S_ISREG

_KINDS = ("reports/**/*.html", "lineage/**/*.jsonl")


@dataclass(frozen=True)
class OldPages:
    """Files that nobody changed for longer than they are kept."""

    paths: tuple[Path, ...]
    size_bytes: int


def find_old_pages(home: Path, now: datetime, keep_days: int) -> OldPages:
    """Those below the lab's `home`. Links are left alone, wherever they lead."""
    before = (now - timedelta(days=keep_days)).timestamp()
    old = []
    for path in (path for kind in _KINDS for path in sorted(home.glob(kind))):
        with contextlib.suppress(FileNotFoundError):  # another run was faster
            stat = path.lstat()
            if S_ISREG(stat.st_mode) and stat.st_mtime < before:
                old.append((path, stat.st_size))
    return OldPages(tuple(path for path, _ in old), sum(size for _, size in old))


def delete_pages(old: OldPages) -> None:
    """Delete them; one that is gone already is none the worse. Raises OSError for one that cannot be deleted."""
    for path in old.paths:
        path.unlink(missing_ok=True)
