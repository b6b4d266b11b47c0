"""How many bytes of requests may be in memory at once. Counted as they stream in, given back with the answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from datalab.runtime.web import Problem
from services.ingest.metrics import HELD_BYTES

RETRY_AFTER_S = 5


class Held:
    """What one request holds."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.bytes = 0

    def take(self, count: int) -> None:
        """Hold more; raises Problem 503 where that is more than there is."""
        self._budget.take(count)
        self.bytes += count


class Budget:
    """The bytes that all requests hold together."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit, self._held = limit_bytes, 0

    @contextmanager
    def hold(self) -> Iterator[Held]:
        """What is taken within the block is given back at its end."""
        held = Held(self)
        try:
            yield held
        finally:
            self._held -= held.bytes
            HELD_BYTES.set(self._held)

    def take(self, count: int) -> None:
        """Count bytes in; raises Problem 503 instead where the limit would be passed."""
        if self._held + count > self._limit:
            detail = f"{self._held} bytes of requests wait already; send it again under the same id"
            raise Problem(503, "Service Unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_S)})
        self._held += count
        HELD_BYTES.set(self._held)
