"""Ending a bridge that does not get on although all it needs answers.

Whatever is wrong is then in this process, and its supervisor starts another. Nothing is lost by that: what was not
finished is met again under the same ids."""

from __future__ import annotations

import asyncio
import contextlib

from datalab.runtime.clock import Clock
from datalab.runtime.health import Health
from datalab.runtime.logs import get_logger

log = get_logger(__name__)


class StuckError(RuntimeError):
    """The process makes no progress, and should be replaced."""


class Healing:
    """Watches `progress` (what this process does) and `needs` (what it depends on). Raises StuckError once progress
    has failed for `after_s` seconds without a break while every need was met: an outage is waited for instead."""

    def __init__(
        self, progress: Health, needs: Health, clock: Clock, *, after_s: float, every_s: float | None = None
    ) -> None:
        self._progress, self._needs, self._clock = progress, needs, clock
        self._after_s, self._every_s = after_s, every_s or min(5.0, after_s / 3)
        self._since: float | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set."""
        while not stop.is_set():
            await self.check()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._every_s)

    async def check(self) -> None:
        """Look once."""
        stuck = await _failing(self._progress)
        if not stuck or await _failing(self._needs):
            self._since = None
            return
        now = self._clock.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since >= self._after_s:
            log.error("bridge.stuck", seconds=now - self._since, reason=stuck)
            raise StuckError(f"no progress for {now - self._since:.0f} s while all that is needed answers: {stuck}")


async def _failing(health: Health) -> str:
    return "; ".join(f"{one.name}: {one.reason}" for one in await health.results() if not one.passed)
