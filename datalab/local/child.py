"""One started process of a part: its number, its log, its end. Knows nothing of readiness or restarts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from datalab.local.parts.base import Command, account_options

_LOG_LIMIT = 20 * 1024 * 1024
_POLL = 0.1


class Child:
    """A process in a session of its own, so that a Ctrl-C in the terminal reaches only the supervisor."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, offset: int) -> None:
        self._process = process
        self._log = log
        self._offset = offset
        self.started = time.monotonic()

    @classmethod
    def start(cls, part: str, command: Command, env: Mapping[str, str], log: Path) -> Child:
        """Start it, its output appended to `log`; raises OSError if it cannot be run."""
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as stream:
            # Before the start: the process shares this file's position and may have written by the next line.
            offset = stream.seek(0, os.SEEK_END)
            process = subprocess.Popen(  # noqa: S603 - the parts' own commands
                list(command.argv),
                env=command.environment(env, part),
                cwd=command.cwd,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **account_options(command.user),
            )
            return cls(process, log, offset)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it lives; negative for the signal that ended it."""
        return self._process.poll()

    @property
    def lived(self) -> float:
        return time.monotonic() - self.started

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        while (code := self._process.poll()) is None:  # noqa: ASYNC110 - an exit code has no event
            await asyncio.sleep(_POLL)
        return code

    async def stop(self, polite: signal.Signals, seconds: float) -> int:
        """Ask it to end, and after `seconds` make it; returns its exit code."""
        self._signal(polite)
        try:
            return await asyncio.wait_for(self.wait(), seconds)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            return await self.wait()

    def log_tail(self, lines: int = 15) -> list[str]:
        """The last lines this process wrote."""
        return tail(self._log, lines, self._offset)

    def _signal(self, number: signal.Signals) -> None:
        # Popen reaps under its own lock, so the number cannot belong to somebody else by now.
        self._process.send_signal(number)


def tail(log: Path, lines: int, offset: int = 0) -> list[str]:
    """The last lines of a log from `offset` on."""
    try:
        with log.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(offset, stream.tell() - 64 * 1024))
            return stream.read().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        return []
