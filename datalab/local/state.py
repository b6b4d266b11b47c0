"""What a lab says of itself: the state file that the supervisor writes and `up`, `down` and `status` read.

The file may be stale, after a kill -9 or a power cut. Whether a supervisor lives is told by the lock, not by the file.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from datalab.local.files import write_atomically
from datalab.local.layout import LabLayout

PartState = Literal["waiting", "starting", "ready", "done", "unhealthy", "backing-off", "failed", "stopping", "stopped"]
Phase = Literal["starting", "ready", "stopping", "stopped", "failed"]
# In these states a part does what it is there for.
WELL: tuple[PartState, ...] = ("ready", "done")


@dataclass
class PartStatus:
    """One part, as last seen by the supervisor. Times are seconds, `since` and `checked` of the Unix clock."""

    name: str
    state: PartState = "waiting"
    pid: int | None = None
    ports: dict[str, int] = field(default_factory=dict)
    url: str | None = None
    log: str = ""
    reason: str | None = None
    restarts: int = 0
    start_seconds: float | None = None
    since: float | None = None
    checked: float | None = None


@dataclass
class LabState:
    """The whole lab. `failure` holds the part, the reason and its last log lines if `up` had to give up."""

    lab_id: str
    home: str
    phase: Phase = "starting"
    supervisor_pid: int = field(default_factory=os.getpid)
    watchdog_pid: int | None = None
    started: float = field(default_factory=time.time)
    ready_seconds: float | None = None
    moved_ports: dict[str, list[int]] = field(default_factory=dict)
    failure: dict[str, Any] | None = None
    parts: dict[str, PartStatus] = field(default_factory=dict)

    def save(self, layout: LabLayout) -> None:
        write_atomically(layout.state_file, json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, layout: LabLayout) -> LabState | None:
        """The state file's content; None if there is none or it is not this lab's."""
        with suppress(OSError, ValueError, TypeError):
            values = json.loads(layout.state_file.read_text("utf-8"))
            parts = {name: PartStatus(**status) for name, status in values.pop("parts").items()}
            state = cls(**values, parts=parts)
            return state if state.lab_id == layout.lab_id else None
        return None


class LabLock:
    """Held by the one supervisor of a lab for as long as it lives; the kernel lets go when the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock and write our process number into it; False if another process has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        # Whoever asks for the holder has the lock for an instant, so one refusal proves nothing.
        for _ in range(5):
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.05)
        else:
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> int | None:
        """The process number of the living holder; None if nobody holds it."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            # Between taking the lock and writing the number the file may be empty.
            return int(text) if text.isdigit() else 0
        else:
            return None
        finally:
            os.close(descriptor)
