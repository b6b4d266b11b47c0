"""What to do when handling an event fails: try again for ever, try a few times, or give up at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


class PermanentError(Exception):
    """Handling can never succeed. The message is the reason that goes to the dead letters, with `subjects`, whose
    fault it is (such as rules), and `cause`, the class of the error behind it."""

    def __init__(self, reason: str, *, subjects: tuple[str, ...] = (), cause: str = "") -> None:
        super().__init__(reason)
        self.subjects, self.cause = subjects, cause


def dependency_is_down(error: Exception) -> bool:
    """Whether the error says that something the handler needs is away, which no event is to blame for."""
    return isinstance(error, OSError | TimeoutError)


@dataclass(frozen=True)
class RetryPolicy:
    """Back-off from `first_s` to `longest_s`, with jitter. `is_transient` errors are tried for ever: an outage
    must not empty a topic into the dead letters. Other errors are tried `attempts` times."""

    attempts: int = 5
    first_s: float = 0.2
    longest_s: float = 10.0
    is_transient: Callable[[Exception], bool] = dependency_is_down

    def delay_s(self, attempt: int) -> float:
        """Seconds to wait after this failed attempt (1, 2, …)."""
        full = min(self.longest_s, self.first_s * 2.0 ** min(attempt - 1, 16))
        return full * random.uniform(0.7, 1.0)  # noqa: S311 - jitter, not cryptography

    def waits_for(self, error: Exception) -> bool:
        """Whether it is tried for as long as this error lasts."""
        return self.is_transient(error) and not isinstance(error, PermanentError)

    def gives_up(self, error: Exception, attempt: int) -> bool:
        """Whether this failed attempt was the last."""
        if isinstance(error, PermanentError):
            return True
        return not self.is_transient(error) and attempt >= self.attempts
