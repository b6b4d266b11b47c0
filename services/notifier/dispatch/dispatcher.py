"""The loop over what time brings. Decides nothing itself; see the parts beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from prometheus_client import Counter
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import Sessions, database_is_down
from services.notifier.dispatch.escalations import escalate_one
from services.notifier.dispatch.fallbacks import hand_on_one
from services.notifier.dispatch.flushing import flush_one
from services.notifier.dispatch.pacing import move_on, queues, waited_for
from services.notifier.dispatch.reminders import remind_some
from services.notifier.in_force import NotifyInForce
from services.notifier.routing import Routing

log = get_logger(__name__)
DONE = Counter("notifier_dispatched", "What time has brought, by part", ["part"])
FAULTS = Counter("notifier_dispatch_faults", "Parts that failed, and not because the database was away", ["part"])
_EVERY_S = 0.5
_QUEUES_EVERY_S = 0.2
_TURNS_AT_MOST = 200
# Who receives events takes locks in another order. Before Postgres finds the ring (after a second) and breaks it at
# either, this side lets go: what it does is due still, an event that is refused would be a dead letter.
_GIVE_WAY = text("SET LOCAL lock_timeout = '300ms'")
_LOCKED = frozenset({"55P03", "40P01"})


class Dispatcher:
    """One per process. `wake_sender` is called when messages have become due."""

    def __init__(
        self, sessions: Sessions, in_force: NotifyInForce, wake_sender: Callable[[], None], clock: Clock
    ) -> None:
        self._sessions, self._in_force, self._wake_sender, self._clock = sessions, in_force, wake_sender, clock
        self._woken = asyncio.Event()
        # When each part last got through, by its name.
        names = ("flush_one", "remind_some", "escalate_one", "hand_on_one", "queues")
        self.last_look = dict.fromkeys(names, clock.monotonic())

    def wake(self) -> None:
        """Look now: something was stored, acknowledged or silenced."""
        self._woken.set()
        self._wake_sender()

    async def run(self, stop: asyncio.Event) -> None:
        """Do what is due until `stop` is set; an outage of the database is waited out."""
        while not stop.is_set():
            self._woken.clear()
            soon = await self.look()
            wakes = [asyncio.create_task(event.wait()) for event in (stop, self._woken)]
            pause = _QUEUES_EVERY_S if soon else _EVERY_S
            await asyncio.wait(wakes, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            for wake in wakes:
                wake.cancel()

    async def look(self) -> bool:
        """Do what is due now; whether there is more to do soon. A part that fails keeps the others from nothing."""
        routing = self._in_force.routing
        parts = (flush_one, remind_some, escalate_one, hand_on_one)
        soon = [await self._safely(part.__name__, self._repeat, part, routing) for part in parts]
        soon.append(await self._safely("queues", self._queues, routing))
        return any(soon)

    async def _safely(self, name: str, do: Callable[..., Awaitable[bool]], *given: object) -> bool:
        try:
            more = await do(*given)
        except Exception as error:
            if database_is_down(error) or _gave_way(error):
                log.warning("dispatch.retry", part=name, reason=type(error).__name__)
            else:
                # It stays due, and readiness tells that nobody gets it done.
                FAULTS.labels(name).inc()
                log.exception("dispatch.fault", part=name)
            return False
        self.last_look[name] = self._clock.monotonic()
        return more

    async def _repeat(self, part: Callable[[AsyncSession, Routing], Awaitable[int]], routing: Routing) -> bool:
        """Until nothing is due, or the others have had to wait long enough; whether more may be due."""
        for _ in range(_TURNS_AT_MOST):
            async with self._sessions.begin() as session:
                await session.execute(_GIVE_WAY)
                found = await part(session, routing)
            if not found:
                return False
            DONE.labels(part.__name__).inc(found)
            self._wake_sender()
        return True

    async def _queues(self, routing: Routing) -> bool:
        """Let messages leave the queues; whether some wait still."""
        async with self._sessions() as session:
            targets = await waited_for(session, await queues(session), routing.targets)
        for key, target in targets.items():
            async with self._sessions.begin() as session:
                await session.execute(_GIVE_WAY)
                gone = await move_on(session, key, target)
            if gone:
                DONE.labels("queues").inc(gone)
                self._wake_sender()
        return bool(targets)


def _gave_way(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _LOCKED
