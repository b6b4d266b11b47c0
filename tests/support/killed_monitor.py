"""The monitor as it is, but for two things that a test may want of its process: that it is killed (SIGKILL) at a named
step of its work (`striking`), and that its clock is set: `CLOCK_FILE` holds the seconds by which it is ahead.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaConsumer

from datalab.runtime.clock import SystemClock
from datalab.runtime.serving import run_service
from services.monitor import episodes
from services.monitor.app import main
from services.monitor.effects import Effects
from services.monitor.intake import Intake
from services.monitor.outbox import Outbox
from tests.support.striking import Strike, after, arm, before

# In the order of an event's way.
_STRIKES: dict[str, Callable[[Strike], None]] = {
    # Records have come and are read, and nothing of them is stored.
    "read": lambda strike: before(Intake, "store", strike),
    # What they do to alerts is written, and not committed.
    "decide": lambda strike: after(episodes, "apply", strike, if_any=True),
    # It is committed; the offset is not, and no alert is published.
    "store": lambda strike: after(Effects, "take", strike),
    # Kafka has acknowledged an alert, which is not marked.
    "publish": lambda strike: after(Outbox, "_send", strike),
    # It is marked.
    "mark": lambda strike: after(Outbox, "_publish_batch", strike, if_any=True),
    # Offsets are committed, and the process does not know yet.
    "commit": lambda strike: after(AIOKafkaConsumer, "commit", strike),
}
STEPS = tuple(_STRIKES)


def _set_clock(file: Path) -> None:
    original = SystemClock.now

    def now(self: SystemClock) -> datetime:
        return original(self) + timedelta(seconds=float(file.read_text("utf-8")))

    setattr(SystemClock, "now", now)  # noqa: B010 - mypy knows that a method is not to be assigned


if __name__ == "__main__":
    arm(_STRIKES)
    if clock := os.environ.get("CLOCK_FILE"):
        _set_clock(Path(clock))
    run_service("monitor", main, loop_factory=uvloop.new_event_loop)
