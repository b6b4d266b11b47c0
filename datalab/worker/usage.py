"""How much memory the processes of a session hold, and the ends of processes that lost their parent."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

import psutil

from datalab.worker.protocol import Ended

_PAGE = resource.getpagesize()
_PR_SET_CHILD_SUBREAPER = 36


def memory_by_session(leaders: Collection[int]) -> Mapping[int, int]:
    """Resident bytes per session leader, its descendants included as long as they stay in its session.

    Pages that a fork shares with its parent count as its own. Without /proc only the leader is counted.
    """
    proc = Path("/proc/self/stat").parent.parent
    if not (proc / "self" / "stat").exists():
        return {pid: memory for pid in leaders if (memory := _resident(pid))}
    total: Counter[int] = Counter()
    for entry in os.scandir(proc):
        if entry.name.isdigit():
            session, pages = _session_and_pages(entry.path)
            if session in leaders:
                total[session] += pages * _PAGE
    return total


def _session_and_pages(folder: str) -> tuple[int, int]:
    try:
        with open(f"{folder}/stat", "rb") as stream:  # noqa: PTH123 - hundreds of these in each round
            # The name in brackets may hold anything; what follows it is numbers.
            fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return 0, 0
    return int(fields[3]), int(fields[21])


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def adopt_orphans() -> bool:
    """Make this process the parent of descendants that lose theirs, where the system can do that."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def ended_orphan(pid: int) -> Ended | None:
    """How a process without its zygote ended; None while it lives."""
    try:
        found, status, usage = os.wait4(pid, os.WNOHANG)
    except ChildProcessError:  # it is not ours: all that can be learnt is whether it exists
        return None if psutil.pid_exists(pid) else Ended(None)
    if not found:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return Ended(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)


def bury(known: Collection[int]) -> None:
    """Collect the dead that came to us as orphans, except those that somebody here waits for."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in known:
            return
        os.waitpid(found.si_pid, os.WNOHANG)
