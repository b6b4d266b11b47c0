"""Whether a consumer makes progress: a process that lives but handles nothing must not count as healthy."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from datalab.bus.publisher import RecordRef

# A broker answers a waiting fetch at least twice a second.
_SILENCE_S = 10.0


class Progress:
    """Notes what a consumer does and says what it is stuck on. Times are monotonic seconds."""

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._polled: float | None = None
        self._lost: str | None = "has not joined its group yet"
        self._handling: dict[RecordRef, float] = {}
        self._silent_s = 0.0
        self.has_caught_up = False

    def joined(self) -> None:
        """The group has given this member its share. That may be nothing: more members than partitions is no fault."""
        self._lost, self.has_caught_up = None, False

    def caught_up(self) -> None:
        """All that its share of the topics had so far is handled."""
        self.has_caught_up = True

    def polled(self, silent_s: float = 0.0) -> None:
        """The consumer looked for records. `silent_s` is how long ago the broker last answered: aiokafka hides a
        broker that is away and tries again for ever."""
        self._polled = time.monotonic()
        self._silent_s = silent_s

    def disconnected(self, reason: str) -> None:
        """The broker is away."""
        self._lost = reason

    @contextlib.contextmanager
    def handling(self, ref: RecordRef) -> Iterator[None]:
        """Around the handling of one record, retries included."""
        self._handling[ref] = time.monotonic()
        try:
            yield
        finally:
            del self._handling[ref]

    def stalled(self) -> str | None:
        """None, or what the consumer is stuck on."""
        if self._lost is not None:
            return f"consumer: {self._lost}"
        now = time.monotonic()
        for ref, since in self._handling.items():
            if now - since > self._stall_s:
                return f"stuck on {ref} for {now - since:.0f} s"
        if not self._handling and self._silent_s > _SILENCE_S:
            return f"the broker has not answered for {self._silent_s:.0f} s"
        if not self._handling and self._polled is not None and now - self._polled > self._stall_s:
            return f"no poll for {now - self._polled:.0f} s"
        return None
