"""What a run's process prints: into a file without a name, so that neither the run nor the worker waits for the other.

A pipe would break the run when the worker dies, and hold it up when the worker is slow. The file is gone with its last
user.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque

_CHUNK = 1 << 16
_LINE = 2000  # characters of a line that are kept
_TAIL = 15


class RunOutput:
    """Both ends of a run's output. `new_lines` gives what came since the last call; `tail` the end of all that came."""

    def __init__(self) -> None:
        self.descriptor, name = tempfile.mkstemp(prefix="datalab-run-")
        os.unlink(name)  # noqa: PTH108 - a name, not a path: it exists for this line only
        # Both processes append; the worker only reads.
        self._position = 0
        self._rest = b""
        self.tail: deque[str] = deque(maxlen=_TAIL)

    def new_lines(self, *, at_end: bool = False) -> list[str]:
        """Whole lines that were not returned yet; `at_end` also one without an end."""
        lines = []
        while chunk := os.pread(self.descriptor, _CHUNK, self._position):
            self._position += len(chunk)
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            lines += whole
            if len(self._rest) > _CHUNK:
                lines.append(self._rest)
                self._rest = b""
        if at_end and self._rest:
            lines.append(self._rest)
            self._rest = b""
        decoded = [line.decode("utf-8", "replace").rstrip("\r")[:_LINE] for line in lines]
        self.tail.extend(line for line in decoded if line.strip())
        return decoded

    def close(self) -> None:
        """Let go of the file; the run may still write to it."""
        os.close(self.descriptor)
