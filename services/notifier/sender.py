"""The sending side: claims due deliveries, sends each within its deadline, has recorded what came of it.

It decides nothing about who gets what (routing) or when to try again (retries).
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Counter, Histogram

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import database_is_down
from services.notifier.claims import Load
from services.notifier.delivery import Channel, Delivery, Result, Target
from services.notifier.ledger import Ledger
from services.notifier.recorder import Recorder
from services.notifier.retries import Attempted, Suppressed, decide
from services.notifier.targets import Targets

log = get_logger(__name__)
ATTEMPTS = Counter("datalab_delivery_attempts", "Attempts by outcome", ["channel", "outcome"])
SECONDS = Histogram("datalab_delivery_attempt_seconds", "Duration of an attempt", ["channel"])
# After each claim, so that a busy sender claims many at once rather than each by itself.
_GATHER_S = 0.02
# A target that takes a delivery within this time may have several times as many calls at once.
_QUICK_S, _QUICK_SHARE = 1.0, 4


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
        call_others: Callable[[], Awaitable[None]],
    ) -> None:
        self._ledger, self._targets, self._channels, self._pace = ledger, targets, channels, pace
        self._clock, self._finished, self._call_others = clock, finished, call_others
        self._recorder = Recorder(ledger, clock)
        self._wake = asyncio.Event()
        self._running: dict[asyncio.Task[None], Delivery] = {}
        self._calling: Tally[str] = Tally()  # how many calls each target has under way
        self._hung: set[str] = set()  # the targets whose last attempt had no answer in time
        self._quick: set[str] = set()  # those whose last attempt was answered at once
        self._full = True  # whether the last claim left something due for want of places
        self._held_up: set[str] = set()  # the targets that had all that they may have under way then
        self._freed = False  # whether one of those has got a place since
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
                claimed = await self._fill()
                await asyncio.sleep(_GATHER_S)
                if claimed and self._full:
                    continue
                waking = asyncio.create_task(self._wake.wait())
                await asyncio.wait({waking, stopping}, timeout=self._pace.poll_s, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
        finally:
            stopping.cancel()
            await self._drain()

    async def _fill(self) -> bool:
        """Claim for the free places; whether there was something. Where more may be due than there are places, other
        instances are called."""
        places, self._freed = self._pace.slots - len(self._running), False
        if places <= 0:
            self._full = True
            await self._call()
            return False
        try:
            claimed = await self._ledger.claim(places, self._pace.per_target, self._load())
            targets = await self._targets.find(claimed)
        except Exception as error:
            if not database_is_down(error):
                raise
            log.warning("claim.retry", reason=type(error).__name__)
            return False
        for delivery, target in zip(claimed, targets, strict=True):
            task = asyncio.create_task(self._deliver(delivery, target), name=f"delivery-{delivery.id}")
            self._running[task] = delivery
            self._calling[delivery.target_key] += 1
            task.add_done_callback(self._done)
        self._full = len(claimed) == places
        self._held_up = {key for key, count in self._calling.items() if count >= self._share(key)}
        if self._full:
            await self._call()
        return bool(claimed)

    async def _call(self) -> None:
        """A call that cannot be made costs the others the wait until they look by themselves."""
        try:
            await self._call_others()
        except Exception as error:
            log.warning("call.failed", reason=type(error).__name__)

    def _load(self) -> Load:
        """What each target that is known has under way, and may have."""
        known = self._calling.keys() | self._hung | self._quick
        return {key: (self._calling[key], self._share(key)) for key in known}

    def _share(self, key: str) -> int:
        """How many calls at once: several times more for a target that answers at once, one for a target that hangs,
        until it answers again."""
        if key in self._hung:
            return 1
        return self._pace.per_target * _QUICK_SHARE if key in self._quick else self._pace.per_target

    def _done(self, task: asyncio.Task[None]) -> None:
        delivery = self._running.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("delivery.unrecorded", delivery_id=delivery.id, reason=type(error).__name__)
        many_free = self._pace.slots - len(self._running) >= self._pace.slots // 4
        # Others that finish are no reason to look again: beside a target that hangs, each would cost a claim in vain.
        self._freed |= delivery.target_key in self._held_up
        # With an order key its successor has just become due.
        if delivery.order_key is not None or (many_free and (self._full or self._freed)):
            self.wake()

    async def _deliver(self, delivery: Delivery, target: Target) -> None:
        try:
            attempted = await self._attempt(delivery, target)
        finally:
            self._free(delivery.target_key)
        held = await self._recorder.record(attempted)
        if isinstance(attempted.decision, Suppressed):
            log.info("delivery.suppressed", delivery_id=delivery.id, reason=target.unavailable)
        else:
            self._report(attempted, held=held)

    async def _attempt(self, delivery: Delivery, target: Target) -> Attempted:
        if target.unavailable:
            return Attempted(delivery, Result(False), Suppressed(target.unavailable))
        started = self._clock.monotonic()
        result = await self._send(delivery, target)
        took_s = self._clock.monotonic() - started
        self._note_speed(delivery.target_key, result, took_s)
        return Attempted(delivery, result, decide(result, delivery.tries, self._pace.schedule_s), took_s)

    def _note_speed(self, key: str, result: Result, took_s: float) -> None:
        if result.delivered and took_s < _QUICK_S:
            self._quick.add(key)
        else:
            self._quick.discard(key)

    def _free(self, key: str) -> None:
        """The call has ended; recording it takes nobody's place at the target."""
        self._calling[key] -= 1
        if not self._calling[key]:
            del self._calling[key]

    async def _send(self, delivery: Delivery, target: Target) -> Result:
        try:
            async with asyncio.timeout(self._pace.deadline_s):
                result = await self._channels[target.channel].send(delivery, target)
        except TimeoutError:
            self._hung.add(delivery.target_key)
            return Result(False, f"no answer within {self._pace.deadline_s:g} s")
        except Exception as error:
            # Not the message: it may hold the address. The type and the place are enough to find the fault.
            log.error("delivery.fault", delivery_id=delivery.id, reason=type(error).__name__, at=_place(error))  # noqa: TRY400
            result = Result(False, f"internal fault: {type(error).__name__}")
        self._hung.discard(delivery.target_key)
        return result

    def _report(self, attempted: Attempted, *, held: bool) -> None:
        delivery, result = attempted.delivery, attempted.result
        outcome = attempted.outcome if held else "lost"
        self.last_progress = self._clock.monotonic()
        self._finished.set()
        ATTEMPTS.labels(delivery.channel, outcome).inc()
        SECONDS.labels(delivery.channel).observe(attempted.duration_s)
        log.info(
            "delivery.attempted",
            delivery_id=delivery.id,
            event_id=delivery.event.id,
            channel=delivery.channel,
            target=delivery.target,
            attempt=delivery.attempt,
            outcome=outcome,
            status_code=result.status_code,
            reason=result.reason,
            duration_ms=round(attempted.duration_s * 1000),
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
