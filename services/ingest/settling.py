"""When a file counts as complete: it was closed or moved into place, or its size and time of change stayed the same
for a set time, by our own observations.

Pure bookkeeping. It reads no disk and no clock: observations and the time come in as arguments, decisions go out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple


class Stamp(NamedTuple):
    """What tells one version of a file from the next without reading it; `version` is an object's ETag."""

    size_bytes: int
    mtime_ns: int
    version: str = ""


class _Wait(NamedTuple):
    stamp: Stamp
    until: float
    failures: int


class Settling:
    """The files of one directory tree: those that wait and those that are dealt with. Times are monotonic seconds.

    Memory grows with the files that are there, and shrinks when they go.
    """

    _LONGEST_BACKOFF_S = 300.0

    def __init__(self, settle_s: float, own_s: Callable[[str], float | None] = lambda _: None) -> None:
        """`own_s` gives the seconds that a path must stay the same if they are not the usual ones."""
        self._settle_s, self._own_s = settle_s, own_s
        self._waiting: dict[str, _Wait] = {}
        self._done: dict[str, Stamp] = {}

    @property
    def waiting(self) -> int:
        """How many files are not dealt with."""
        return len(self._waiting)

    def observe(self, seen: Mapping[str, Stamp], now: float) -> list[str]:
        """Take in one complete listing; returns the paths that are complete and not dealt with, oldest change first.

        A path is returned again at each observation until `done`, `restart` or `postpone` is called for it.
        """
        for gone in self._done.keys() - seen.keys():
            del self._done[gone]
        for gone in self._waiting.keys() - seen.keys():
            del self._waiting[gone]
        ready = [
            path for path, stamp in seen.items() if self._done.get(path) != stamp and self._settled(path, stamp, now)
        ]
        return sorted(ready, key=lambda path: (seen[path].mtime_ns, path))

    def complete(self, seen: Mapping[str, Stamp], now: float) -> list[str]:
        """Take in some files that their writers have just finished; returns those that are not dealt with.

        As with `observe`, they are returned again until they are. What else is there stays as it is.
        """
        ready = []
        for path, stamp in seen.items():
            wait = self._waiting.get(path)
            failed = wait is not None and wait.stamp == stamp and wait.failures
            if self._done.get(path) != stamp and not failed:
                self._waiting[path] = _Wait(stamp, now, 0)
                ready.append(path)
        return ready

    def done(self, path: str, stamp: Stamp) -> None:
        """This version is dealt with; only another one is looked at again."""
        self._done[path] = stamp
        wait = self._waiting.get(path)
        if wait is not None and wait.stamp == stamp:
            del self._waiting[path]

    def restart(self, path: str, stamp: Stamp) -> None:
        """It was not this version when it was read: its wait begins anew with the next observation. A newer version
        that was observed meanwhile waits on as it does."""
        wait = self._waiting.get(path)
        if wait is not None and wait.stamp == stamp:
            del self._waiting[path]

    def postpone(self, path: str, now: float) -> None:
        """Dealing with it failed through no fault of the file: come back later, each time after a longer wait."""
        wait = self._waiting.get(path)
        if wait is not None:
            delay = min(self._LONGEST_BACKOFF_S, 0.5 * 2.0 ** min(wait.failures, 16))
            self._waiting[path] = wait._replace(until=now + delay, failures=wait.failures + 1)

    def _settled(self, path: str, stamp: Stamp, now: float) -> bool:
        wait = self._waiting.get(path)
        if wait is None or wait.stamp != stamp:
            own_s = self._own_s(path)
            wait = self._waiting[path] = _Wait(stamp, now + (self._settle_s if own_s is None else own_s), 0)
        return now >= wait.until
