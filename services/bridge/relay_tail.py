"""Prefect's events as its server puts them on Kafka: the relay's fast path.

Nothing is committed: what is not heard here is found by REST."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from datetime import datetime, timedelta

from datalab.bus.reader import read_records
from datalab.bus.retry import RetryPolicy
from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from schemas.catalog import PREFECT_EVENTS
from services.bridge.prefect_events import Change, change_of

log = get_logger(__name__)
# How far back to begin: about as long as another instance needs to take over.
_BACK = timedelta(seconds=60)
_MOST_WAITING = 20_000


class PrefectTail:
    """Listens from `run` on. `alive` says whether Prefect's events come this way at present."""

    def __init__(self, bootstrap: str, clock: Clock) -> None:
        self._bootstrap, self._clock = bootstrap, clock
        self._retry = RetryPolicy(first_s=0.5, longest_s=10.0)
        self._heard: deque[Change] = deque(maxlen=_MOST_WAITING)
        self._news = asyncio.Event()
        self.alive = False
        self.began = clock.now()

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until `stop` is set. A broker that is away, or a topic that is not there yet, is waited for."""
        listening = asyncio.create_task(self._listen())
        try:
            await stop.wait()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def wait(self, seconds: float) -> None:
        """Return as soon as something was heard, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)

    def take(self) -> list[Change]:
        """What was heard since the last call, in order per run."""
        heard = list(self._heard)
        self._heard.clear()
        self._news.clear()
        return heard

    def missed(self, at: datetime) -> None:
        """A state of that time was found by REST, and not heard here: no longer to be relied on."""
        if at > self.began:
            self.alive = False

    async def _listen(self) -> None:
        attempt = 0
        while True:
            try:
                async for record in read_records(
                    self._bootstrap, [PREFECT_EVENTS], since=self._clock.now() - _BACK, follow=True
                ):
                    attempt = 0
                    self._hear(record.value or b"")
            except Exception as error:
                # Whatever it is: without this path there is the other one.
                attempt += 1
                self.alive = False
                log.info("tail.retry", attempt=attempt, reason=f"{type(error).__name__}: {error}"[:300])
                await asyncio.sleep(self._retry.delay_s(attempt))
                self.began = self._clock.now()

    def _hear(self, value: bytes) -> None:
        self.alive = True
        try:
            change = change_of(json.loads(value))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            log.warning("tail.unreadable", reason=f"{type(error).__name__}: {error}"[:300])
            return
        if change is not None:
            self._heard.append(change)
            self._news.set()
