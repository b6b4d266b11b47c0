"""The notifier as it is, but for two things that a test may want of its process: that it is killed (SIGKILL) at a
named step of its work (`striking`), and that its clock is wrong: `CLOCK_SHIFT_S=SECONDS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta

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
from tests.support.striking import Strike, after, arm, before


def _receiving(strike: Strike) -> None:
    before(Intake, "prepare", strike)
    before(Intake, "handle", strike)


# In the order of an alert's way.
_STRIKES: dict[str, Callable[[Strike], None]] = {
    # An alert has come, and is not looked at.
    "receive": _receiving,
    # Alert and deliveries are written, and not committed.
    "store": lambda strike: after(ledger, "_insert", strike),
    # They are committed, the offset is not.
    "stored": lambda strike: after(Ledger, "store", strike),
    "commit": lambda strike: after(AIOKafkaConsumer, "commit", strike),
    # Deliveries are claimed, and none is sent.
    "claim": lambda strike: after(Ledger, "claim", strike, if_any=True),
    "send": lambda strike: before(Outgoing, "post", strike),
    # The receiver has answered, and nothing is recorded.
    "sent": lambda strike: after(Outgoing, "post", strike),
    # Results are written, and not committed.
    "record": lambda strike: after(AsyncSession, "scalars", strike, only=RECORD),
    # They are committed, and the process does not know yet.
    "recorded": lambda strike: after(Ledger, "record", strike),
}
STEPS = tuple(_STRIKES)


def _shift_clock(seconds: float) -> None:
    original, by = SystemClock.now, timedelta(seconds=seconds)

    def now(self: SystemClock) -> datetime:
        return original(self) + by

    setattr(SystemClock, "now", now)  # noqa: B010 - as above


if __name__ == "__main__":
    arm(_STRIKES)
    _shift_clock(float(os.environ.get("CLOCK_SHIFT_S", "0")))
    run_service("notifier", main, loop_factory=uvloop.new_event_loop)
