"""A zygote as the worker sees it: started, given jobs, told to leave, and never waited for in vain."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress

from datalab.worker.protocol import Ended, Job, Report, Warmth, send
from datalab.worker.sources import Stamp, changed


class ColdError(RuntimeError):
    """The zygote died, or gave up, while importing `blame`. The message says why."""

    def __init__(self, blame: str, why: str) -> None:
        super().__init__(f"{blame or 'starting'}: {why}")
        self.blame = blame


class StartError(RuntimeError):
    """A job was not started."""


class Started:
    """A process of a job. `ended` is set once it is known how it ended; None means that the zygote died before it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended: asyncio.Future[Ended | None] = asyncio.get_running_loop().create_future()


class WarmParent:
    """One zygote. `troubles` are imports that failed, by name; the zygote lives without them."""

    def __init__(self, warmth: Warmth, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self.warmth = warmth
        self.troubles: Mapping[str, str] = {}
        self._process, self._control = process, control
        self._files: Mapping[str, Stamp] = {}
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._importing = ""
        self._waiting: dict[str, asyncio.Future[Started]] = {}
        self._running: dict[str, Started] = {}
        self._sending = asyncio.Lock()
        self._listener: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, directory: str, environment: Mapping[str, str], warmth: Warmth, *, within_s: float
    ) -> WarmParent:
        """A zygote that has imported all it can; raises ColdError if it could not get that far."""
        ours, theirs = socket.socketpair()
        read, write = os.pipe()
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own module; takes a millisecond
                    [sys.executable, "-m", "datalab.worker.zygote", str(theirs.fileno()), str(write)],
                    pass_fds=(theirs.fileno(), write),
                    cwd=directory,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                os.close(read)
                raise ColdError("", str(error)) from error
            finally:
                os.close(write)
        parent = cls(warmth, process, ours)
        await parent._listen(read)
        try:
            await parent._send(warmth)
            await asyncio.wait_for(asyncio.shield(parent._ready), within_s)
        except (TimeoutError, OSError) as error:
            process.kill()
            raise ColdError(parent._importing, f"not done within {within_s:g} s") from error
        except BaseException:
            process.kill()
            raise
        return parent

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._listener is not None and not self._listener.done()

    def stale(self) -> str | None:
        """A file that it imported and that has changed since."""
        return changed(self._files)

    async def launch(self, job: Job, output: int) -> Started:
        """Start the job, its output to that descriptor; raises StartError."""
        waiting: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        self._waiting[job.key] = waiting
        try:
            await self._send(job, (output,))
            return await waiting
        except OSError as error:
            raise StartError(f"the warm parent is gone: {error}") from error
        finally:
            self._waiting.pop(job.key, None)

    def leave(self) -> None:
        """No more jobs; it ends after its last child."""
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def kill(self) -> None:
        """End it at once; its children go on."""
        self._process.kill()

    async def _send(self, message: Warmth | Job, descriptors: tuple[int, ...] = ()) -> None:
        async with self._sending:  # a zygote that is importing does not read: never in the event loop's thread
            await asyncio.to_thread(send, self._control, message, descriptors)

    async def _listen(self, read: int) -> None:
        reader = asyncio.StreamReader(limit=1 << 24)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb", 0)
        )
        self._listener = asyncio.create_task(self._follow(reader, transport))

    async def _follow(self, reader: asyncio.StreamReader, transport: asyncio.BaseTransport) -> None:
        try:
            while line := await reader.readline():
                self._take(Report.parse(line))
        finally:
            transport.close()
            self._control.close()
        # Only when it has closed its end: a worker that is ending does not wait for a zygote that waits for its runs.
        code = await asyncio.to_thread(self._process.wait)
        self._gone(f"it ended with exit code {code}")

    def _take(self, report: Report) -> None:
        reactions: Mapping[str, Callable[[Report], None]] = {
            "importing": self._note_import,
            "ready": self._note_ready,
            "unsafe": self._note_unsafe,
            "started": self._note_started,
            "refused": self._note_refused,
            "ended": self._note_ended,
        }
        reactions[report.kind](report)

    def _note_import(self, report: Report) -> None:
        self._importing = report.text

    def _note_ready(self, report: Report) -> None:
        self._files, self.troubles = report.files, report.troubles
        if not self._ready.done():
            self._ready.set_result(None)

    def _note_unsafe(self, report: Report) -> None:
        if not self._ready.done():
            self._ready.set_exception(ColdError(self._importing, f"importing it {report.text}"))

    def _note_started(self, report: Report) -> None:
        started = self._running[report.key] = Started(report.pid)
        waiting = self._waiting.get(report.key)
        if waiting is not None and not waiting.done():
            waiting.set_result(started)

    def _note_refused(self, report: Report) -> None:
        waiting = self._waiting.get(report.key)
        if waiting is not None and not waiting.done():
            waiting.set_exception(StartError(report.text))

    def _note_ended(self, report: Report) -> None:
        started = self._running.pop(report.key, None)
        if started is not None and not started.ended.done():
            started.ended.set_result(report.ended)

    def _gone(self, why: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(ColdError(self._importing, why))
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(StartError(f"the warm parent died: {why}"))
        for started in self._running.values():
            if not started.ended.done():
                started.ended.set_result(None)
        self._running.clear()
