"""Keeping one part alive: prepare, start, wait until it answers, watch, and start again after a death.

Which parts there are, and when all stop, is the supervisor's business.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence

from datalab.local.backoff import Backoff
from datalab.local.child import Child
from datalab.local.marked import end_marked
from datalab.local.parts.base import Lab, Part, PartError
from datalab.local.state import PartState, PartStatus
from datalab.runtime.logs import get_logger

log = get_logger(__name__)
_STARTING_PROBE = 0.2
_WATCHING_PROBE = 5.0
# A part that dies this often without ever having answered will not come up by itself.
MAX_START_DEATHS = 4


class PartFailedError(RuntimeError):
    """A part died repeatedly before it was ever ready. Carries the last lines of its log."""

    def __init__(self, part: str, reason: str, log_tail: Sequence[str]) -> None:
        super().__init__(f"{part}: {reason}")
        self.part, self.reason, self.log_tail = part, reason, list(log_tail)


class _DiedError(Exception):
    """The process ended, or had to be ended. The message says how."""


class PartRunner:
    """The life of one part. `was_ready` is set once it has been ready, and stays set."""

    def __init__(
        self, part: Part, lab: Lab, status: PartStatus, changed: Callable[[], None], backoff: Backoff | None = None
    ) -> None:
        self.part = part
        self.status = status
        self.was_ready = asyncio.Event()
        self._lab = lab
        self._changed = changed
        self._backoff = backoff or Backoff()
        self._child: Child | None = None
        self._began = 0.0
        self._log_tail: list[str] = []

    async def run(self, needs: Sequence[asyncio.Event]) -> None:
        """Returns only for a one-shot stage that is done; raises PartFailedError if it never comes up."""
        for need in needs:
            await need.wait()
        self._began = time.monotonic()
        while True:
            started = time.monotonic()
            try:
                await self._live()
            except (_DiedError, PartError, OSError) as death:
                await self._after_death(str(death), time.monotonic() - started)
            else:
                return

    async def stop(self) -> None:
        """End the process, politely first. Idempotent."""
        reason = None
        if self._child is not None and self._child.exit_code is None:
            self._set("stopping")
            if await self._child.stop(self.part.stop_signal, self.part.stop_seconds) == -signal.SIGKILL:
                reason = "it did not end by itself and was killed"
        self.status.pid = None
        self._set("stopped", reason)

    async def _live(self) -> None:
        self._set("starting")
        await self._clear_leftovers()
        await self.part.prepare(self._lab)
        command = self.part.command(self._lab)
        if command is not None:
            self._child = Child.start(self.part.name, command, self._lab.env, self._lab.layout.log(self.part.name))
            self.status.pid = self._child.pid
            self.status.since = time.time()
            self._changed()
        if self.part.one_shot:
            await self._finish()
            return
        await self._become_ready()
        await self._watch()

    async def _clear_leftovers(self) -> None:
        # What a killed process leaves behind may hold its port or its files.
        if self.status.restarts and not self.part.children_outlive_it:
            await asyncio.to_thread(end_marked, self._lab.layout.lab_id, parts={self.part.name})

    async def _finish(self) -> None:
        if self._child is None:
            raise PartError(f"{self.part.name} has no process to run")
        if code := await self._child.wait():
            raise _DiedError(_how_it_ended(code))
        self.status.pid = None
        self._well("done")

    async def _become_ready(self) -> None:
        began = time.monotonic()
        while (reason := await self._ask()) is not None:
            self._check_alive()
            # A first start may take its time: who started the lab sees it. Later nobody looks, and it must be well.
            if self.was_ready.is_set() and time.monotonic() - began > self.part.unhealthy_seconds:
                await self._end_silent(reason)
            if reason != self.status.reason:
                self.status.reason = reason
                self._changed()
            await asyncio.sleep(_STARTING_PROBE)
        await self._settle()
        self._well("ready")

    async def _settle(self) -> None:
        try:
            await self.part.settle(self._lab)
        except Exception as error:
            if self._child is None:
                raise PartError(f"{type(error).__name__}: {error}") from error
            await self._child.stop(self.part.stop_signal, self.part.stop_seconds)
            raise _DiedError(f"it answers, but {type(error).__name__}: {error}"[:300]) from error

    async def _watch(self) -> None:
        bad_since: float | None = None
        while True:
            await self._pause(_WATCHING_PROBE)
            self._check_alive()
            reason = await self._ask()
            self.status.checked = time.time()
            if reason is None:
                bad_since = None
                if self.status.state != "ready":
                    self._set("ready")
                continue
            bad_since = bad_since or time.monotonic()
            self._set("unhealthy", reason)
            if time.monotonic() - bad_since > self.part.unhealthy_seconds:
                await self._end_silent(reason)

    async def _end_silent(self, reason: str) -> None:
        """End a process that lives and does not answer; one that runs elsewhere is left alone."""
        if self._child is not None:
            await self._child.stop(self.part.stop_signal, self.part.stop_seconds)
            raise _DiedError(f"it did not answer for {self.part.unhealthy_seconds:.0f} s: {reason}")

    async def _ask(self) -> str | None:
        try:
            return await self.part.ready(self._lab)
        except Exception as error:
            # A probe that fails in any way is a part that does not answer.
            return f"{type(error).__name__}: {error}"[:200]

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than the process lives."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and (  # noqa: ASYNC110 - an exit code has no event
            self._child is None or self._child.exit_code is None
        ):
            await asyncio.sleep(0.1)

    def _check_alive(self) -> None:
        if self._child is not None and (code := self._child.exit_code) is not None:
            raise _DiedError(_how_it_ended(code))

    async def _after_death(self, reason: str, lived: float) -> None:
        self._log_tail = self._child.log_tail() if self._child else []
        self.status.pid = None
        delay = self._backoff.after_death(lived)
        log.warning("part.died", part=self.part.name, reason=reason, lived_s=round(lived, 1), next_start_s=delay)
        if not self.was_ready.is_set() and self._backoff.failures >= MAX_START_DEATHS:
            self._set("failed", reason)
            raise PartFailedError(self.part.name, reason, self._log_tail)
        self.status.restarts += 1
        self._set("backing-off", f"{reason}; starts again in {delay:.1f} s")
        await asyncio.sleep(delay)

    def _well(self, state: PartState) -> None:
        if self.status.start_seconds is None:
            self.status.start_seconds = round(time.monotonic() - self._began, 2)
        self.status.checked = time.time()
        self._set(state)
        self.was_ready.set()
        log.info(
            "part.ready",
            part=self.part.name,
            seconds=self.status.start_seconds,
            pid=self.status.pid,
            restarts=self.status.restarts,
        )

    def _set(self, state: PartState, reason: str | None = None) -> None:
        self.status.state = state
        self.status.reason = reason
        self._changed()


def _how_it_ended(code: int) -> str:
    return f"it was ended by signal {-code}" if code < 0 else f"it ended with exit code {code}"
