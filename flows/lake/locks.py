"""One writer per dataset: Delta on a local disk does not arbitrate between writers, so runs queue at a file lock.

The kernel releases the lock when its process dies, however it dies. It guards one machine, not a cluster. Spark does
not know of that death and goes on with what it was told: so the lock's file names the Spark sessions of its holder, and
the next holder finds those of one that was killed.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from flows.lake.errors import LakeBusyError

_POLL_S = 0.2
_SAY_EVERY_S = 30.0


@dataclass(frozen=True)
class SparkWork:
    """A Spark session that a run has opened. `run_id` is "-" for a flow that was called as a plain function."""

    run_id: str
    session_id: str


class Lease:
    """A held lock. `left_over` is the work of an earlier holder that was killed: to be ended before any is begun."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.left_over = _works(file)

    def note(self, work: SparkWork) -> None:
        """Remember the session, for whoever comes after a kill."""
        self._file.write(f"{work.run_id} {work.session_id}\n")
        self._file.flush()

    def forget(self) -> None:
        """No session of this lock's is at work any more."""
        self.left_over = []
        self._file.truncate(0)


def work_of_run(directory: Path, run_id: str) -> list[SparkWork]:
    """The sessions that the run has not closed, by what the locks say."""
    found: list[SparkWork] = []
    for path in directory.glob("*.lock"):
        with path.open() as file:
            found += [work for work in _works(file) if work.run_id == run_id]
    return found


@contextmanager
def dataset_lock(directory: Path, dataset: str, *, wait_s: float, say: Callable[[str], None]) -> Iterator[Lease]:
    """Hold the dataset; says so while it waits, and raises LakeBusyError after `wait_s` seconds."""
    directory.mkdir(parents=True, exist_ok=True)
    started = last_said = time.monotonic()
    with (directory / f"{dataset}.lock").open("a+") as handle:
        while not _try_lock(handle.fileno()):
            now = time.monotonic()
            if now - started >= wait_s:
                raise LakeBusyError(f"dataset {dataset}: another run has held it for more than {wait_s:.0f} s")
            if last_said == started or now - last_said >= _SAY_EVERY_S:
                say(f"dataset {dataset}: waiting for another run that writes it ({now - started:.0f} s)")
                last_said = now
            time.sleep(_POLL_S)
        yield Lease(handle)


def _works(file: TextIO) -> list[SparkWork]:
    file.seek(0)
    lines = (line.split() for line in file)
    return [SparkWork(*words) for words in lines if len(words) == 2]  # a torn line names no session


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
