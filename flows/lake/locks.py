"""One writer per dataset: Delta on a local disk does not arbitrate between writers, so runs queue at a file lock.

The kernel releases the lock when its process dies, however it dies. It guards one machine, not a cluster.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.lake.errors import LakeBusyError

_POLL_S = 0.2
_SAY_EVERY_S = 30.0


@contextmanager
def dataset_lock(directory: Path, dataset: str, *, wait_s: float, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the dataset; says so while it waits, and raises LakeBusyError after `wait_s` seconds."""
    directory.mkdir(parents=True, exist_ok=True)
    started = last_said = time.monotonic()
    with (directory / f"{dataset}.lock").open("a") as handle:
        while not _try_lock(handle.fileno()):
            now = time.monotonic()
            if now - started >= wait_s:
                raise LakeBusyError(f"dataset {dataset}: another run has held it for more than {wait_s:.0f} s")
            if last_said == started or now - last_said >= _SAY_EVERY_S:
                say(f"dataset {dataset}: waiting for another run that writes it ({now - started:.0f} s)")
                last_said = now
            time.sleep(_POLL_S)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
