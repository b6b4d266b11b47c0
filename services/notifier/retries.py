"""What follows an attempt: done, again after a while, or given up with a reason. Pure decisions."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from services.notifier.delivery import Delivery, Result

_LONGEST_WAIT_S = 86_400.0
_RETRIED_4XX = frozenset({408, 425, 429})


@dataclass(frozen=True)
class Delivered:
    """The receiver accepted it."""


@dataclass(frozen=True)
class Retry:
    """Again in so many seconds."""

    in_s: float


@dataclass(frozen=True)
class Dead:
    """Given up."""

    reason: str


@dataclass(frozen=True)
class Suppressed:
    """Not sent at all."""

    reason: str


Decision = Delivered | Retry | Dead | Suppressed


@dataclass(frozen=True)
class Attempted:
    """A claimed delivery, what came of sending it, what follows, and how long it took."""

    delivery: Delivery
    result: Result
    decision: Decision
    duration_s: float = 0.0

    @property
    def outcome(self) -> str:
        """The decision in one word."""
        return type(self.decision).__name__.lower()


def jitter() -> float:
    """A factor that spreads retries, so that those who failed together do not return together."""
    return random.uniform(0.9, 1.1)  # noqa: S311 - jitter, not cryptography


def decide(result: Result, tries: int, schedule_s: Sequence[float], spread: Callable[[], float] = jitter) -> Decision:
    """What follows the `tries`-th attempt (1, 2, …); `schedule_s` are the waits between attempts."""
    if result.delivered:
        return Delivered()
    reason = result.reason or "failed"
    if result.permanent or result.gone:
        return Dead(reason)
    if tries > len(schedule_s):
        return Dead(f"gave up after {tries} attempts: {reason}")
    wait = schedule_s[tries - 1] * spread()
    if result.retry_after_s is not None:
        wait = max(1.0, min(result.retry_after_s, _LONGEST_WAIT_S))
    return Retry(wait)


def judge(status: int, *, retry_after: str | None, text: str, now: datetime) -> Result:
    """The result that an HTTP answer means: 2xx is success; 408, 425, 429 and 5xx are tried again."""
    if 200 <= status < 300:
        return Result(delivered=True, status_code=status)
    reason = f"HTTP {status}" + (f": {text}" if text else "")
    if 300 <= status < 400:
        return Result(False, f"HTTP {status}: redirects are not followed", status, permanent=True)
    if status == 410:
        return Result(False, reason, status, permanent=True, gone=True)
    if status in _RETRIED_4XX or status >= 500:
        return Result(False, reason, status, retry_after_s=retry_after_seconds(retry_after, now))
    return Result(False, reason, status, permanent=True)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """The header's seconds or HTTP date as seconds from now; None where it is absent or makes no sense."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())
