"""One process of one run, from its start to its end: its output, its limits, and how it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import psutil

from datalab.worker.output import RunOutput
from datalab.worker.protocol import Ended
from datalab.worker.usage import ended_orphan
from datalab.worker.warm_parent import Started

_POLL_S = 0.2
_MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a run may use. `memory_bytes` is resident memory with that of its child processes."""

    memory_bytes: int
    time_s: float | None
    grace_s: float

    @classmethod
    def of(cls, memory_mib: int | None, time_s: float | None, grace_s: float) -> Limits:
        """Without a limit of memory three quarters of the machine's."""
        return cls(memory_mib * _MIB if memory_mib else psutil.virtual_memory().total * 3 // 4, time_s, grace_s)


class Attempt:
    """A process that runs. It leads a session and a group of its own, which end with it."""

    def __init__(
        self,
        flow_run_id: UUID,
        name: str,
        started: Started,
        limits: Limits,
        output: RunOutput | None,
        *,
        streams: bool = True,
    ) -> None:
        self.flow_run_id, self.name, self.pid, self.limits = flow_run_id, name, started.pid, limits
        self.output, self._streams = output, streams
        self.cancelled = False
        self.broke: str | None = None  # which limit, in words
        self._started, self._since = started, time.monotonic()
        self._over = asyncio.Event()

    async def wait(self) -> Ended:
        """Return when the process has ended, however it came to lose its parent."""
        try:
            ended = await asyncio.shield(self._started.ended)
            while ended is None:
                if (ended := ended_orphan(self.pid)) is None:
                    await asyncio.sleep(_POLL_S)
        finally:
            self._over.set()
        return ended

    def pump(self, say: Callable[[str], None], *, at_end: bool = False) -> None:
        """Pass on what it has printed since the last call."""
        for line in self.output.new_lines(at_end=at_end) if self.output else ():
            if self._streams:
                say(f"[{self.name}] {line}")

    def judge(self, memory_bytes: int) -> str | None:
        """Which limit is broken, in words; None also after the first time."""
        if self.broke or self.cancelled:
            return None
        limits, age = self.limits, time.monotonic() - self._since
        if memory_bytes > limits.memory_bytes:
            self.broke = (
                f"It used {memory_bytes // _MIB} MiB of memory; its limit is {limits.memory_bytes // _MIB} MiB "
                "(memory_limit_mib of the work pool or of the deployment's job variables)."
            )
        elif limits.time_s is not None and age > limits.time_s:
            self.broke = (
                f"It ran for {age:.0f} s; its limit is {limits.time_s:g} s "
                "(time_limit_s of the work pool or of the deployment's job variables)."
            )
        return self.broke

    async def end(self, *, grace_s: float) -> None:
        """SIGTERM to its group, SIGKILL when the grace is over; returns when it is on its way out."""
        if grace_s > 0:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), grace_s)
                return
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # The group is reaped by one parent only, which says so: until then the number is this group's.
        if not self._over.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
