"""The notifier as it is, but for what a test may want of its process: that it is killed (SIGKILL) at a named step of
its work (`striking`), that its clock jumps, and that its group notices its death soon.
With `CLOCK_SHIFT_S=SECONDS` its clock is wrong by so much from SIGUSR1 on.
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

from datalab.bus.consumer import Consumer
from datalab.runtime.clock import SystemClock
from datalab.runtime.serving import run_service
from services.notifier import ledger
from services.notifier.app import main
from services.notifier.channels.slack import SlackChannel
from services.notifier.delivery import Delivery
from services.notifier.dispatch import dispatcher, flushing, pacing
from services.notifier.intake import Intake
from services.notifier.ledger import Ledger
from services.notifier.outgoing import Outgoing
from services.notifier.recording import RECORD
from tests.support.striking import Strike, after, arm, before


def _receiving(strike: Strike) -> None:
    before(Intake, "prepare", strike)
    before(Intake, "handle", strike)


def _after_commit_of(name: str, strike: Strike) -> None:
    """Strike when the dispatcher comes back to a part that has found something: it is committed then."""
    original, found = getattr(dispatcher, name), False

    @wraps(original)
    async def struck(*args: Any) -> Any:
        nonlocal found
        if found:
            strike()
        found = await original(*args)
        return found

    setattr(dispatcher, name, struck)


def _after_bundle(kind: str, strike: Strike) -> None:
    """Strike when such a message was sent."""
    original = SlackChannel.send

    async def send(self: SlackChannel, delivery: Delivery, *more: Any) -> Any:
        result = await original(self, delivery, *more)
        if delivery.notice and delivery.notice.kind == kind:
            strike()
        return result

    setattr(SlackChannel, "send", send)  # noqa: B010 - mypy knows that a method is not to be assigned


# In the order of an alert's way.
_STRIKES: dict[str, Callable[[Strike], None]] = {
    "receive": _receiving,
    "store": lambda strike: after(ledger, "_insert", strike),
    "stored": lambda strike: after(Ledger, "store", strike),
    "commit": lambda strike: after(AIOKafkaConsumer, "commit", strike),
    "claim": lambda strike: after(Ledger, "claim", strike, if_any=True),
    "send": lambda strike: before(Outgoing, "post", strike),
    "sent": lambda strike: after(Outgoing, "post", strike),
    "record": lambda strike: after(AsyncSession, "scalars", strike, only=RECORD),
    "recorded": lambda strike: after(Ledger, "record", strike),
    "group": lambda strike: after(flushing, "_carry", strike),
    "grouped": lambda strike: _after_commit_of("flush_one", strike),
    "group-sent": lambda strike: _after_bundle("group", strike),
    "digest": lambda strike: after(pacing, "digest", strike),
    "digested": lambda strike: _after_commit_of("move_on", strike),
    "digest-sent": lambda strike: _after_bundle("digest", strike),
}
# What each means, in the order of an alert's way.
STEPS = {
    "receive": "alerts have come, and nothing is done about them",
    "store": "alerts and deliveries are written, and not committed",
    "stored": "they are committed, the offset is not",
    "commit": "the offset is committed",
    "claim": "deliveries are claimed, and none is sent",
    "send": "a request is about to be sent",
    "sent": "the receiver has answered, and nothing is recorded",
    "record": "results are written, and not committed",
    "recorded": "they are committed, and the process does not know yet",
}
BUNDLE_STEPS = {
    "group": "a group's message is written, and not committed",
    "grouped": "it is committed, and not sent",
    "group-sent": "a group's message is sent, and not recorded",
    "digest": "a digest is written, and not committed",
    "digested": "messages have left the queue, and are not sent",
    "digest-sent": "a digest is sent, and not recorded",
}


def _notice_death_soon() -> None:
    defaults = Consumer.__init__.__kwdefaults__
    assert defaults is not None
    defaults["session_s"] = 6.0  # the shortest that a broker takes


def _let_clock_jump(seconds: float) -> None:
    original, wrong = SystemClock.now, timedelta()

    def now(self: SystemClock) -> datetime:
        return original(self) + wrong

    def jump(*_: object) -> None:
        nonlocal wrong
        wrong = timedelta(seconds=seconds)

    setattr(SystemClock, "now", now)  # noqa: B010 - as above
    signal.signal(signal.SIGUSR1, jump)


if __name__ == "__main__":
    arm(_STRIKES)
    _notice_death_soon()
    _let_clock_jump(float(os.environ.get("CLOCK_SHIFT_S", "0")))
    run_service("notifier", main, loop_factory=uvloop.new_event_loop)
