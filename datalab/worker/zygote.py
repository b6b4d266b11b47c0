"""The warm parent: imports, then forks a process for each job and reports how it ended. One thread, no event loop.

    python -m datalab.worker.zygote CONTROL_FD REPORT_FD

When the worker closes its end, or dies, no more jobs come; the zygote then leaves once its last child has ended.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import threading
from pathlib import Path

from datalab.worker.protocol import Ended, Job, Report, Warmth, receive_job, receive_warmth
from datalab.worker.sources import SourceRecorder

# What every run needs: the engine, and what it imports late.
_ENGINE = (
    "prefect.engine",
    "prefect.flow_engine",
    "prefect.flows",
    "prefect.runner._hook_runner",
    "prefect._internal.observers",
    "anyio._backends._asyncio",
)


class UnsafeToForkError(RuntimeError):
    """An import started a thread or opened a connection. The message says which."""


def safety(allowed_sockets: int = 1) -> None:
    """Raise UnsafeToForkError unless this process may be forked: one Python thread, no socket but the worker's."""
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        raise UnsafeToForkError(f"started the thread {', '.join(others)}")
    if (found := len(open_sockets())) > allowed_sockets:
        raise UnsafeToForkError(f"opened {found - allowed_sockets} socket(s)")


def open_sockets() -> list[str]:
    """The sockets of this process, where the system tells."""
    folder = Path("/proc/self/fd")
    found = []
    for entry in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            if (target := str(entry.readlink())).startswith("socket:"):
                found.append(target)
    return found


class Zygote:
    """Forks on demand. `serve` returns in the parent when all is over, and in each child with that child's job."""

    def __init__(self, control: socket.socket, reports: int) -> None:
        self._control, self._reports = control, reports
        self._jobs: dict[int, Job] = {}  # by process number
        self._woken, self._wake = os.pipe()
        for end in (self._woken, self._wake):
            os.set_blocking(end, False)

    def warm(self, warmth: Warmth) -> None:
        """Import everything. What cannot be imported is reported, and left to the run that needs it."""
        recorder, troubles = SourceRecorder(), {}
        recorder.install()
        for name in (*(_ENGINE if warmth.modules or warmth.entrypoints else ()), *warmth.modules, *warmth.entrypoints):
            self._say(Report("importing", text=name))
            try:
                _import(name)
            except (Exception, SystemExit) as error:
                troubles[name] = f"{type(error).__name__}: {error}"
            safety()
        _complete_models()
        gc.collect()
        gc.freeze()  # a collection in a child would otherwise copy every page it marks
        self._say(Report("ready", files=recorder.files, troubles=troubles))

    def serve(self) -> tuple[Job, int] | None:
        """Start jobs until no more come and all have ended; in a child: its job and output."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for ignored in (signal.SIGINT, signal.SIGTERM):  # the worker decides; it closes its end
            signal.signal(ignored, signal.SIG_IGN)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            more = True
            while more or self._jobs:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    self._reap()
                if self._control in ready:
                    received = receive_job(self._control)
                    if received is None:
                        more = False
                        selector.unregister(self._control)
                    elif self._expected(*received) and self._start(*received):
                        break
            else:
                return None
        return received

    def _expected(self, job: Job, output: int) -> bool:
        """Whether somebody still waits for the job: not after the worker has closed its end, or died."""
        with contextlib.suppress(BlockingIOError):
            if not self._control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                self._say(Report("refused", job.key, text="no more jobs are taken"))
                os.close(output)
                return False
        return True

    def _start(self, job: Job, output: int) -> bool:
        """Fork; True in the child."""
        signals = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            safety()
            pid = os.fork()
        except (OSError, UnsafeToForkError) as error:
            self._say(Report("refused", job.key, text=str(error)))
        else:
            if pid == 0:
                self._leave_behind()
                return True
            self._jobs[pid] = job
            self._say(Report("started", job.key, pid=pid))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        os.close(output)
        return False

    def _leave_behind(self) -> None:
        """In the child: all that belongs to the parent alone. Signals are still held back."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        for restored in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(restored, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._control.close()
        for end in (self._woken, self._wake, self._reports):
            os.close(end)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._woken, 4096):
                pass
        while (ended := _next_ended()) is not None:
            # While the dead leader is not reaped its number cannot be used again: nobody else is in this group.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(ended, signal.SIGKILL)
            _, status, usage = os.wait4(ended, 0)
            job = self._jobs.pop(ended, None)
            if job is not None:
                cpu, unit = usage.ru_utime + usage.ru_stime, 1 if sys.platform == "darwin" else 1024
                exit_code = os.waitstatus_to_exitcode(status)
                self._say(Report("ended", job.key, pid=ended, ended=Ended(exit_code, cpu, usage.ru_maxrss * unit)))

    def _say(self, report: Report) -> None:
        line = report.line()
        with contextlib.suppress(BrokenPipeError):  # the worker is gone; the children are not
            while line:
                line = line[os.write(self._reports, line) :]


def _complete_models() -> None:
    """Build the validators of all pydantic models now; most are put off until first used, which is in each child."""
    pydantic = sys.modules.get("pydantic")
    pending = [pydantic.BaseModel] if pydantic else []
    while pending:
        model = pending.pop()
        pending += model.__subclasses__()
        with contextlib.suppress(Exception):  # one that cannot be built yet is built when it is used, as ever
            if not model.__pydantic_complete__:
                model.model_rebuild(raise_errors=False)


def _next_ended() -> int | None:
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found else None


def _import(name: str) -> None:
    if ":" not in name:
        importlib.import_module(name)
        return
    from prefect.flows import load_flow_from_entrypoint

    paths, loaded = list(sys.path), set(sys.modules)
    try:
        load_flow_from_entrypoint(name, use_placeholder_flow=False)
    finally:
        # Only what the script imports is kept: each run executes the script itself anew, under its usual name.
        sys.path[:] = paths
        if (script := Path(name.rpartition(":")[0]).stem) not in loaded:
            sys.modules.pop(script, None)


def main() -> None:
    """Serve; a child goes on as its job."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    reports = int(sys.argv[2])
    zygote = Zygote(control, reports)
    try:
        zygote.warm(receive_warmth(control))
    except UnsafeToForkError as error:
        os.write(reports, Report("unsafe", text=str(error)).line())
        os._exit(3)  # the thread in question might never end
    received = zygote.serve()
    if received is not None:
        from datalab.worker.child import become

        become(*received)


if __name__ == "__main__":
    main()
