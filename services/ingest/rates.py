"""How many events a sender may publish: a token bucket each. Of this process alone; other instances have their own."""

from __future__ import annotations

import math

from cachetools import LRUCache

from datalab.runtime.clock import Clock
from datalab.runtime.web import Problem

# Of the longest silent senders the buckets are forgotten: they are full again.
_REMEMBERED = 10_000


class Rates:
    """Events per second for each payer, and how many at once. `per_second` of 0 means without a limit."""

    def __init__(self, per_second: float, burst: int, clock: Clock) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(_REMEMBERED)

    def pay(self, payer: str, events: int) -> None:
        """Take that many events' worth from the payer's bucket, or nothing and raise Problem 429."""
        if not self._per_second or not events:
            return
        now = self._clock.monotonic()
        level, since = self._buckets.get(payer, (float(self._burst), now))
        level = min(float(self._burst), level + (now - since) * self._per_second)
        missing = events - level
        if missing > 0:
            self._buckets[payer] = (level, now)
            raise self._too_many(missing)
        self._buckets[payer] = (level - events, now)

    def _too_many(self, missing: float) -> Problem:
        wait_s = math.ceil(missing / self._per_second)
        detail = f"more than {self._per_second:g} events a second (or {self._burst} at once); come back in {wait_s} s"
        return Problem(429, "Too Many Requests", detail, headers={"Retry-After": str(wait_s)})
