"""Handling a lab from outside its supervisor: start one in the background, follow it, stop it, ask how it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import psutil

from datalab.local.layout import LabLayout
from datalab.local.marked import LAB_MARK, PART_MARK, end_marked
from datalab.local.state import LabLock, LabState
from datalab.runtime.settings import PROJECT_ROOT

_POLL = 0.1


class LabFailedError(RuntimeError):
    """The lab did not come up. `state` says which part failed and shows its last log lines."""

    def __init__(self, message: str, state: LabState | None) -> None:
        super().__init__(message)
        self.state = state


def running(layout: LabLayout) -> LabState | None:
    """The state of the lab if its supervisor lives, else None."""
    holder = LabLock(layout.lock_file).holder()
    state = LabState.load(layout)
    return state if holder is not None and state is not None and state.supervisor_pid == holder else None


def start_in_background(
    layout: LabLayout,
    only: Iterable[str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    tied_to_us: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a supervisor in a session of its own. `tied_to_us`: it stops the lab when our end of its stdin closes."""
    layout.create()
    environ = os.environ if environ is None else environ
    command = [sys.executable, "-m", "datalab.local.supervise", "--home", str(layout.home)]
    if only is not None:
        command += ["--parts", ",".join(only)]
    if tied_to_us:
        command.append("--until-eof")
    with layout.log("supervisor").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE if tied_to_us else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={key: value for key, value in environ.items() if key not in (LAB_MARK, PART_MARK)},
            cwd=PROJECT_ROOT,
            start_new_session=True,
        )


def wait_until_ready(
    layout: LabLayout,
    supervisor: subprocess.Popen[bytes] | None = None,
    seen: Callable[[LabState], None] = lambda _: None,
    seconds: float | None = None,
) -> LabState:
    """Follow a starting lab, showing each state to `seen`, until it is ready; raises LabFailedError or TimeoutError."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        ended = supervisor is not None and supervisor.poll() is not None
        state = running(layout)
        if state is not None:
            seen(state)
            if state.phase == "ready":
                return state
        elif ended or (supervisor is None and LabLock(layout.lock_file).holder() is None):
            last = LabState.load(layout)
            mine = last if last and (supervisor is None or last.supervisor_pid == supervisor.pid) else None
            raise LabFailedError(_why(mine, layout), mine)
        if deadline is not None and time.monotonic() > deadline:
            raise TimeoutError(f"the lab is not ready after {seconds:.0f} s")
        time.sleep(_POLL)


def stop(layout: LabLayout, seconds: float = 60.0) -> bool:
    """Stop the lab and whatever is left of it; False if nothing ran. Bounded in time, and idempotent."""
    lock = LabLock(layout.lock_file)
    ran = False
    if holder := lock.holder():
        ran = True
        with suppress(ProcessLookupError):
            os.kill(holder, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while lock.holder() == holder and time.monotonic() < deadline:
            time.sleep(_POLL)
        if lock.holder() == holder:
            with suppress(ProcessLookupError):
                os.kill(holder, signal.SIGKILL)
        _wait_for_end(holder, 10.0)
    return bool(end_marked(layout.lab_id)) or ran


def _wait_for_end(pid: int, seconds: float) -> None:
    """The lock is free a moment before its process has ended."""
    deadline = time.monotonic() + seconds
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.02)


def _why(state: LabState | None, layout: LabLayout) -> str:
    if state is not None and state.failure:
        return "\n".join([f"{state.failure['part']}: {state.failure['reason']}", *state.failure["log_tail"]])
    return f"the supervisor ended; see {layout.log('supervisor')}"
