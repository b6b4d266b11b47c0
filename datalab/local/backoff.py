"""How long to wait before a part that died is started again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Backoff:
    """Doubling delays, in seconds, that start over once the part has lived for a stable time."""

    first: float = 0.5
    limit: float = 30.0
    stable_after: float = 60.0
    failures: int = 0

    def after_death(self, lived: float) -> float:
        """The delay before the next start, given how long the last one lived."""
        self.failures = 1 if lived >= self.stable_after else self.failures + 1
        return float(min(self.limit, self.first * 2.0 ** min(self.failures - 1, 30)))
