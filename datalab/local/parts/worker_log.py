"""Where a worker's output goes: a file of its own below the lab's logs, or the file that DATALAB_WORKER_LOG names.

A named file is shared by both workers, and the lab's own log is then a link to it, so that `datalab status` and the
supervisor find the lines where they always are. Each worker appends, so that nothing of another is overwritten.
"""

from __future__ import annotations

import os
from pathlib import Path

from datalab.local.parts.base import PartError

LIMIT = 20 * 1024 * 1024


def use_log(own: Path, named: str) -> None:
    """Make `own` a link to the named file, or a file of its own again. Raises PartError if that file cannot be used."""
    if not named:
        if own.is_symlink():
            own.unlink()
        return
    target = Path(named).expanduser()
    if not target.is_absolute():
        raise PartError(f"DATALAB_WORKER_LOG: {named!r} is not absolute; write it as in /tmp/prefect-worker.log")
    try:
        _open_and_limit(target)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PartError(f"DATALAB_WORKER_LOG: {target} cannot be written: {reason}; name another file") from error
    _link(own, target)


def _open_and_limit(target: Path) -> None:
    # Never through a link: where anybody may write, as in /tmp, it could lead to a file that is not ours to append to.
    os.close(os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644))
    if target.stat().st_size > LIMIT:
        target.replace(target.with_name(f"{target.name}.1"))
        target.touch()


def _link(own: Path, target: Path) -> None:
    if own.is_symlink() and own.readlink() == target:
        return
    own.parent.mkdir(parents=True, exist_ok=True)
    if own.exists() and not own.is_symlink():
        own.replace(own.with_suffix(".log.1"))
    own.unlink(missing_ok=True)
    own.symlink_to(target)
