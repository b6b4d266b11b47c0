"""The sending side: claims due deliveries, sends each within its deadline, records what came of it.

It decides nothing about who gets what (routing) or when to try again (retries).
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Counter, Histogram

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import database_is_down
from services.notifier.delivery import Channel, Delivery, Result
from services.notifier.ledger import Ledger
from services.notifier.retries import decide
from services.notifier.targets import Targets

log = get_logger(__name__)
ATTEMPTS = Counter("datalab_delivery_attempts", "Attempts by outcome", ["channel", "outcome"])
SECONDS = Histogram("datalab_delivery_attempt_seconds", "Duration of an attempt", ["channel"])


@dataclass(frozen=True)
class Pace:
    """How much at once, how long for one, how often to look, and the waits between attempts. Seconds."""

    slots: int
    per_target: int
    deadline_s: float
    poll_s: float
    schedule_s: Sequence[float]


class Sender:
    """One per process; several processes share the work through the ledger's claims."""

    def __init__(
        self,
        ledger: Ledger,
        targets: Targets,
        channels: Mapping[str, Channel],
        pace: Pace,
        clock: Clock,
        finished: asyncio.Event,
    ) -> None:
        self._ledger, self._targets, self._channels, self._pace = ledger, targets, channels, pace
        self._clock, self._finished = clock, finished
        self._wake = asyncio.Event()
        self._running: dict[asyncio.Task[None], Delivery] = {}
        self.last_progress = clock.monotonic()

    def wake(self) -> None:
        """Look for due deliveries now: some were just stored, or a place became free."""
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set; what is under way then may end within its deadline."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._wake.clear()
                if not await self._fill():
                    waking = asyncio.create_task(self._wake.wait())
                    await asyncio.wait(
                        {waking, stopping}, timeout=self._pace.poll_s, return_when=asyncio.FIRST_COMPLETED
                    )
                    waking.cancel()
        finally:
            stopping.cancel()
            await self._drain()

    async def _fill(self) -> bool:
        """Claim for the free places; True if it is worth looking again at once."""
        places = self._pace.slots - len(self._running)
        if places <= 0:
            return False
        # One slow target holds a few places and no more, so that it delays nobody else.
        load = Tally(delivery.target_key for delivery in self._running.values())
        busy = [key for key, count in load.items() if count >= self._pace.per_target]
        try:
            claimed = await self._ledger.claim(places, self._pace.per_target, busy)
        except Exception as error:
            if not database_is_down(error):
                raise
            log.warning("claim.retry", reason=type(error).__name__)
            return False
        for delivery in claimed:
            task = asyncio.create_task(self._deliver(delivery), name=f"delivery-{delivery.id}")
            self._running[task] = delivery
            task.add_done_callback(self._done)
        return bool(claimed)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("delivery.unrecorded", reason=f"{type(error).__name__}"[:200])
        self.wake()

    async def _deliver(self, delivery: Delivery) -> None:
        target = await self._targets.find(delivery)
        if target.unavailable:
            await self._ledger.suppress(delivery, target.unavailable)
            log.info("delivery.suppressed", delivery_id=delivery.id, reason=target.unavailable)
            return
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._pace.deadline_s):
                result = await self._channels[target.channel].send(delivery, target)
        except TimeoutError:
            result = Result(False, f"no answer within {self._pace.deadline_s:g} s")
        except Exception as error:
            # Not the message: it may hold the address. The type and the place are enough to find the fault.
            log.error("delivery.fault", delivery_id=delivery.id, reason=type(error).__name__, at=_place(error))  # noqa: TRY400
            result = Result(False, f"internal fault: {type(error).__name__}")
        await self._record(delivery, result, self._clock.monotonic() - started)

    async def _record(self, delivery: Delivery, result: Result, duration_s: float) -> None:
        decision = decide(result, delivery.tries, self._pace.schedule_s)
        outcome = type(decision).__name__.lower()
        give_up = self._clock.monotonic() + self._ledger.lease_s
        while True:
            try:
                held = await self._ledger.record(delivery, result, decision, duration_s)
                break
            except Exception as error:
                # After the lease another process sends it again anyway, under the same id.
                if not database_is_down(error) or self._clock.monotonic() > give_up:
                    raise
                await asyncio.sleep(0.5)
        self.last_progress = self._clock.monotonic()
        self._finished.set()
        ATTEMPTS.labels(delivery.channel, outcome if held else "lost").inc()
        SECONDS.labels(delivery.channel).observe(duration_s)
        log.info(
            "delivery.attempted",
            delivery_id=delivery.id,
            event_id=delivery.event.id,
            channel=delivery.channel,
            target=delivery.target,
            attempt=delivery.attempt,
            outcome=outcome if held else "lost",
            status_code=result.status_code,
            reason=result.reason,
            duration_ms=round(duration_s * 1000),
        )

    async def _drain(self) -> None:
        running = dict(self._running)
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=8.0)
        for task in late:
            task.cancel()
            with contextlib.suppress(Exception):
                await self._ledger.release(running[task])


def _place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"
