"""Finding and ending the processes that carry a lab's mark in their environment, wherever they hang in the tree.

Process numbers alone prove nothing (they are used again); the mark does. Postgres's children overwrite their
environment, so descendants of a marked process count as marked too.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import psutil

LAB_MARK = "DATALAB_LAB_ID"
PART_MARK = "DATALAB_PART"
_POSTGRES = "postgres"


@dataclass(frozen=True)
class Marked:
    """A process of the lab and the part it was started for."""

    process: psutil.Process
    part: str


def find_marked(lab_id: str, parts: Collection[str] | None = None) -> list[Marked]:
    """All living processes of the lab, or of some parts of it. Never the calling process."""
    found: dict[int, Marked] = {}
    for process in psutil.process_iter():
        marks = _marks(process)
        if marks.get(LAB_MARK) == lab_id and process.pid != os.getpid():
            found[process.pid] = Marked(process, marks.get(PART_MARK, ""))
    for marked in list(found.values()):
        for child in _children(marked.process):
            if child.pid != os.getpid():
                found.setdefault(child.pid, Marked(child, marked.part))
    return [marked for marked in found.values() if parts is None or marked.part in parts]


def carries_mark(pid: int, lab_id: str) -> bool:
    """Whether this process number belongs to a living process of the lab."""
    try:
        return _marks(psutil.Process(pid)).get(LAB_MARK) == lab_id
    except psutil.Error:
        return False


def end_marked(
    lab_id: str,
    *,
    parts: Collection[str] | None = None,
    grace: float = 5.0,
    until: Callable[[], bool] = lambda: False,
) -> int:
    """End every process of the lab, or of some parts: politely first, then with SIGKILL. Returns how many.

    Postgres goes last, so that nobody loses it while finishing. Looks again until a search finds none, as a process
    may start another while it is being ended, or `until` says that it is no longer ours to do.
    """
    ended: set[int] = set()
    for _ in range(20):
        found = find_marked(lab_id, parts)
        # Asked after the search: what was found before a successor came cannot be its own.
        if not found or until():
            break
        ended.update(marked.process.pid for marked in found)
        databases = [marked.process for marked in found if marked.part == _POSTGRES]
        others = [marked.process for marked in found if marked.part != _POSTGRES]
        _end(others, signal.SIGTERM, grace)
        _end(databases, signal.SIGINT, grace)
    return len(ended)


def _end(processes: list[psutil.Process], polite: signal.Signals, grace: float) -> None:
    _each(processes, lambda process: process.send_signal(polite))
    _, alive = psutil.wait_procs(processes, timeout=grace)
    _each(alive, lambda process: process.kill())
    psutil.wait_procs(alive, timeout=2.0)


def _each(processes: Iterable[psutil.Process], action: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        try:
            action(process)
        except psutil.Error:
            continue


def _marks(process: psutil.Process) -> dict[str, str]:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return {}
        environ = process.environ()
    except (psutil.Error, OSError):
        return {}
    return {name: environ[name] for name in (LAB_MARK, PART_MARK) if name in environ}


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [child for child in process.children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]
    except psutil.Error:
        return []
