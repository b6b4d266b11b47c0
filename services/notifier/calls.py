"""Calls between instances: one that has more that is due than it can send tells the others, by Postgres' NOTIFY.

A call only spares the others the wait until they look by themselves; one that is lost, since a connection broke or
nobody listens, costs that wait and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import text

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import Sessions

log = get_logger(__name__)
_CHANNEL = "notifier_due"
_NOTIFY = text("SELECT pg_notify(:channel, :caller)")
_SELDOM_S = 0.2
_RECONNECT_S = 2.0


class Calls:
    """One per process; `answer` is called when another process calls."""

    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        self._sessions, self._clock, self._me = sessions, clock, uuid.uuid4().hex
        self._called_at = -_SELDOM_S

    async def call(self) -> None:
        """Tell the others that more is due than is sent here; at most a few times a second. Raises what the database
        raises."""
        if self._clock.monotonic() - self._called_at < _SELDOM_S:
            return
        self._called_at = self._clock.monotonic()
        async with self._sessions.begin() as session:
            await session.execute(_NOTIFY, {"channel": _CHANNEL, "caller": self._me})

    async def listen(self, answer: Callable[[], None], stop: asyncio.Event) -> None:
        """Until `stop` is set, on a connection of its own; one that breaks is replaced."""
        while not stop.is_set():
            try:
                await self._hear(answer, stop)
            except Exception as error:
                log.warning("calls.reconnecting", reason=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _RECONNECT_S)

    async def _hear(self, answer: Callable[[], None], stop: asyncio.Event) -> None:
        """Returns when `stop` is set or the connection has ended."""
        broken = asyncio.Event()

        def hear(_connection: Any, _pid: int, _channel: str, caller: object) -> None:
            if caller != self._me:
                answer()

        def end(_connection: Any) -> None:
            broken.set()

        async with self._sessions() as session:
            raw = (await (await session.connection()).get_raw_connection()).driver_connection
            assert raw is not None, "a connection that was just opened has one"
            raw.add_termination_listener(end)
            await raw.add_listener(_CHANNEL, hear)
            try:
                waits = [asyncio.create_task(event.wait()) for event in (stop, broken)]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
            finally:
                raw.remove_termination_listener(end)
                if not broken.is_set():
                    await raw.remove_listener(_CHANNEL, hear)
