"""The notifier as it is, but for two things that a test may want of its process: that it is killed (SIGKILL) at a
named step of its work, and that its clock is wrong. `KILL_AT=STEP:N` kills at the N-th time; `CLOCK_SHIFT_S=SECONDS`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.clock import SystemClock
from datalab.runtime.serving import run_service
from services.notifier import ledger
from services.notifier.app import main
from services.notifier.intake import Intake
from services.notifier.ledger import Ledger
from services.notifier.outgoing import Outgoing
from services.notifier.recording import RECORD

Strike = Callable[[], None]


def _before(owner: type, name: str, strike: Strike) -> None:
    original = getattr(owner, name)

    @wraps(original)
    async def struck(*args: Any, **kwargs: Any) -> Any:
        strike()
        return await original(*args, **kwargs)

    setattr(owner, name, struck)


def _after(owner: Any, name: str, strike: Strike, *, only: Any = None) -> None:
    """Strike after it has returned; with `only`, when that is the first argument after self."""
    original = getattr(owner, name)

    @wraps(original)
    async def struck(*args: Any, **kwargs: Any) -> Any:
        result = await original(*args, **kwargs)
        if only is None or (len(args) > 1 and args[1] is only):
            strike()
        return result

    setattr(owner, name, struck)


def _receiving(strike: Strike) -> None:
    _before(Intake, "prepare", strike)
    _before(Intake, "handle", strike)


def _arm(step: str, times: int) -> None:
    left = times

    def strike() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    _STRIKES[step](strike)


def _after_claims(strike: Strike) -> None:
    original = Ledger.claim

    @wraps(original)
    async def claim(*args: Any, **kwargs: Any) -> Any:
        claimed = await original(*args, **kwargs)
        if claimed:
            strike()
        return claimed

    setattr(Ledger, "claim", claim)  # noqa: B010 - mypy knows that a method is not to be assigned


# In the order of an alert's way.
_STRIKES: dict[str, Callable[[Strike], None]] = {
    # An alert has come, and is not looked at.
    "receive": _receiving,
    # Alert and deliveries are written, and not committed.
    "store": lambda strike: _after(ledger, "_insert", strike),
    # They are committed, the offset is not.
    "stored": lambda strike: _after(Ledger, "store", strike),
    "commit": lambda strike: _after(AIOKafkaConsumer, "commit", strike),
    # Deliveries are claimed, and none is sent.
    "claim": _after_claims,
    "send": lambda strike: _before(Outgoing, "post", strike),
    # The receiver has answered, and nothing is recorded.
    "sent": lambda strike: _after(Outgoing, "post", strike),
    # Results are written, and not committed.
    "record": lambda strike: _after(AsyncSession, "scalars", strike, only=RECORD),
    # They are committed, and the process does not know yet.
    "recorded": lambda strike: _after(Ledger, "record", strike),
}
STEPS = tuple(_STRIKES)


def _shift_clock(seconds: float) -> None:
    original, by = SystemClock.now, timedelta(seconds=seconds)

    def now(self: SystemClock) -> datetime:
        return original(self) + by

    setattr(SystemClock, "now", now)  # noqa: B010 - as above


if __name__ == "__main__":
    if wanted := os.environ.get("KILL_AT"):
        step_, _, times_ = wanted.partition(":")
        _arm(step_, int(times_ or 1))
    _shift_clock(float(os.environ.get("CLOCK_SHIFT_S", "0")))
    run_service("notifier", main, loop_factory=uvloop.new_event_loop)
