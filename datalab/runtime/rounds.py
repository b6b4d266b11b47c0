"""Work that is done again and again, at an even pace, beside what a process is there for. An outage is waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from datalab.runtime.logs import get_logger

log = get_logger(__name__)


class Rounds:
    """Runs its steps one after another, every so many seconds; each step is tried whatever became of the others."""

    def __init__(
        self,
        name: str,
        every_s: float,
        *steps: Callable[[], Awaitable[None]],
        may_begin: Callable[[], bool] = lambda: True,
    ) -> None:
        self._name, self._every_s, self._steps, self._may_begin = name, every_s, steps, may_begin

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; a step that is under way then gets a second to end."""
        stopping = asyncio.create_task(stop.wait())
        while not stop.is_set():
            if self._may_begin():
                work = asyncio.create_task(self._round())
                await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    await asyncio.wait({work}, timeout=1.0)
                    work.cancel()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._every_s)
        stopping.cancel()

    async def _round(self) -> None:
        for step in self._steps:
            try:
                await step()
            except Exception as error:  # whatever a client raises in an outage; the next round tries again
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                log.warning("round.retry", name=self._name, step=step.__name__, reason=reason)
