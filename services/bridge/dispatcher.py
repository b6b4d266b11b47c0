"""The loop that serves the queue: what follows failed runs, windows that are over, then turns of what waits. One in
each instance."""

from __future__ import annotations

import asyncio

from datalab.bus.retry import RetryPolicy, dependency_is_down
from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import database_is_down
from services.bridge import metrics
from services.bridge.failures import Failures
from services.bridge.pauses import Pauses
from services.bridge.prefect_http import PrefectAwayError
from services.bridge.trigger import Rules
from services.bridge.turns import Turns
from services.bridge.waiting import WaitingTriggers
from services.bridge.windows.closing import Closing

log = get_logger(__name__)
_STALL_S = 60.0


class Dispatcher:
    """Looks every `poll_s` seconds, and at once after `wake`."""

    def __init__(
        self,
        rules: Rules,
        waiting: WaitingTriggers,
        pauses: Pauses,
        failures: Failures,
        closing: Closing,
        turns: Turns,
        clock: Clock,
        *,
        poll_s: float,
    ) -> None:
        self._rules, self._waiting, self._pauses = rules, waiting, pauses
        self._failures, self._closing, self._turns = failures, closing, turns
        self._clock, self._poll_s, self._awake = clock, poll_s, asyncio.Event()
        self._retry = RetryPolicy(first_s=0.5, longest_s=10.0)
        self._progressed, self._trouble = clock.monotonic(), "has not finished a round yet"

    def wake(self) -> None:
        """Something was put into the queue."""
        self._awake.set()

    async def check(self) -> str | None:
        """Readiness: None, or why what waits gets no turn."""
        silent = self._clock.monotonic() - self._progressed
        return f"no round for {silent:.0f} s: {self._trouble}" if silent > _STALL_S else None

    async def run(self, stop: asyncio.Event) -> None:
        """Serve the queue until `stop` is set. An outage is waited for."""
        attempt = 0
        while not stop.is_set():
            delay = self._poll_s
            self._awake.clear()
            try:
                await self.round()
                attempt = 0
            except Exception as error:
                # Also what we did not foresee: a queue without its loop would only grow.
                attempt += 1
                delay = self._retry.delay_s(attempt)
                self._note(error, attempt)
            await self._pause_between(stop, delay, wakes=attempt == 0)

    async def round(self) -> None:
        """One look at everything."""
        book = self._rules.book
        await self._pauses.refresh(book)
        while await self._failures.follow(book):
            pass
        while await self._closing.close_due(book):
            pass
        while await self._turns.take(book):
            pass
        counts = await self._waiting.counts()
        for name in {rule.name for rule in book.rules} | counts.keys():
            metrics.WAITING.labels(name).set(counts.get(name, 0))
        self._progressed = self._clock.monotonic()

    async def _pause_between(self, stop: asyncio.Event, seconds: float, *, wakes: bool) -> None:
        """Until the time is over or `stop` is set; or, unless there is trouble, until something new waits."""
        waits = {asyncio.create_task(event.wait()) for event in ((stop, self._awake) if wakes else (stop,))}
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _note(self, error: Exception, attempt: int) -> None:
        self._trouble = f"{type(error).__name__}: {error}"[:300]
        outage = isinstance(error, PrefectAwayError) or dependency_is_down(error) or database_is_down(error)
        log.warning("queue.retry", attempt=attempt, reason=self._trouble, exc_info=None if outage else error)
