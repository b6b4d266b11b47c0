"""What was heard of files, handed from the thread that hears it to the loop that acts on it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

# More than that are left to the listing.
_MOST = 50_000


class Heard(NamedTuple):
    """Paths that were just completed, and whether the whole tree should be looked at."""

    completed: list[str]
    look: bool


class Notices:
    """A box of notices. `woken` is called, on the thread that adds, when there is something to take."""

    def __init__(self, woken: Callable[[], None]) -> None:
        self._woken = woken
        self._lock = threading.Lock()
        self._completed: dict[str, None] = {}
        self._look = False

    def completed(self, path: str) -> None:
        """A file was closed after writing, or moved into place."""
        with self._lock:
            if len(self._completed) < _MOST:
                self._completed[path] = None
            else:
                self._look = True
        self._woken()

    def look(self) -> None:
        """Something happened that only a listing can tell."""
        with self._lock:
            self._look = True
        self._woken()

    def take(self) -> Heard:
        """What was heard since the last call."""
        with self._lock:
            heard = Heard(list(self._completed), self._look)
            self._completed, self._look = {}, False
        return heard
