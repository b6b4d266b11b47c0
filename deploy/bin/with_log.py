"""`with_log.py FILE COMMAND…`: runs COMMAND with its output in FILE too, and ends as it ends. Signals are handed on.

FILE is kept below 10 MB; what was before is FILE.1. A disk that is full costs the file's lines, never the command.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

_LIMIT = 10 * 1000 * 1000


class LogFile:
    """Lines in a file that starts anew at its limit. Raises OSError when it cannot be opened at first."""

    def __init__(self, path: Path, limit: int = _LIMIT) -> None:
        self._path, self._limit = path, limit
        self._file = path.open("ab")

    def write(self, line: bytes) -> None:
        try:
            if self._file.tell() > self._limit:
                self._file.close()
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
                self._file = self._path.open("ab")
            self._file.write(line)
            self._file.flush()
        except (OSError, ValueError):  # it goes on to the console, and is tried again with the next line
            return


def run(log: LogFile, command: list[str], console: BinaryIO) -> int:
    """The command's exit code; 128 + the number of the signal that ended it, as shells have it."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # noqa: S603 - our caller's
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: process.send_signal(received))
    assert process.stdout
    for line in process.stdout:
        console.write(line)
        console.flush()
        log.write(line)
    code = process.wait()
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    try:
        log_file = LogFile(Path(sys.argv[1]))
    except OSError as error:
        sys.exit(f"with_log: {sys.argv[1]} cannot be written: {error.strerror}; set DATALAB_WORKER_LOG to another file")
    sys.exit(run(log_file, sys.argv[2:], sys.stdout.buffer))
