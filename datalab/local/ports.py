"""Which TCP ports a lab's parts listen on: the wanted one, else the one remembered, else a free one.

A port stays reserved (by a file lock, so it ends with the process) from the choice until the lab stops: two labs
that start at the same moment never choose the same one. Nothing here listens.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from datalab.local.files import write_atomically

# Below the kernel's range for outgoing connections, so that a remembered port is seldom lent to a client meanwhile.
_FREE_RANGE = range(20_000, 30_000)


class NoFreePortError(RuntimeError):
    """Every candidate port is taken."""


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on the port now. A connection in TIME_WAIT does not count as taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


class PortBook:
    """Chooses and remembers ports. `reservations` is shared by all labs of this user on this machine."""

    def __init__(self, remembered: Path, reservations: Path | None = None, host: str = "127.0.0.1") -> None:
        self._file = remembered
        self._folder = reservations or Path(tempfile.gettempdir()) / f"datalab-ports-{os.getuid()}"
        self._host = host
        self._held: dict[int, int] = {}

    def choose(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """One free, reserved port per name; the choice is remembered for the next start.

        What was wanted comes first, unless the last start had to differ for the same wish: clients may hold that one.
        """
        memory = self._memory()
        chosen = {name: self._first_free(self._candidates(name, port, memory)) for name, port in wanted.items()}
        record = {name: {"wanted": wanted[name], "chosen": port} for name, port in chosen.items()}
        write_atomically(self._file, json.dumps(record, indent=1))
        return chosen

    def release(self) -> None:
        """Give all reservations back. Idempotent."""
        while self._held:
            _, descriptor = self._held.popitem()
            os.close(descriptor)

    def _memory(self) -> dict[str, dict[str, int]]:
        with suppress(OSError, ValueError):
            memory = json.loads(self._file.read_text())
            if isinstance(memory, dict):
                return {name: entry for name, entry in memory.items() if isinstance(entry, dict)}
        return {}

    def _candidates(self, name: str, wanted: int, memory: dict[str, dict[str, int]]) -> Iterator[int]:
        entry = memory.get(name, {})
        if entry.get("wanted") == wanted and isinstance(entry.get("chosen"), int):
            yield entry["chosen"]
        yield wanted
        yield from random.sample(_FREE_RANGE, 500)

    def _first_free(self, candidates: Iterator[int]) -> int:
        for port in candidates:
            if port not in self._held and self._reserve(port):
                return port
        raise NoFreePortError("no free TCP port was found; `datalab doctor` shows what holds the usual ones")

    def _reserve(self, port: int) -> bool:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._folder / f"{port}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        if not is_free(port, self._host):
            os.close(descriptor)
            return False
        self._held[port] = descriptor
        return True
