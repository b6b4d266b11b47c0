"""States of Prefect runs to `lab.runs`, without gaps and once each.

They are heard on Kafka, for speed, and looked up by REST, for truth. Both paths store in the outbox, under ids that
follow from run and state; only from there is published. One of the bridge's instances relays at a time.
"""

from __future__ import annotations

import asyncio
import contextlib

from datalab.bus.retry import RetryPolicy, dependency_is_down
from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import database_is_down
from services.bridge.prefect_history import PrefectHistory
from services.bridge.prefect_http import PrefectAwayError
from services.bridge.relay_findings import Findings
from services.bridge.relay_hearing import Hearing
from services.bridge.relay_lead import Leadership
from services.bridge.relay_look import Look
from services.bridge.relay_outbox import Outbox
from services.bridge.relay_tail import PrefectTail

log = get_logger(__name__)
# What is heard within this time is asked about together; and asking takes at most this share of Prefect's time, unless
# something then waited for longer than this.
_PACE_S, _LONGEST_PACE_S = 0.05, 1.0
_SHARE = 0.2
_MEANWHILE_S = 0.5


class Relay:
    """`poll_s` is how often REST is asked while Prefect's events do not come by Kafka, `look_s` while they do. Not
    ready once nothing was done for `stall_s`."""

    def __init__(
        self,
        history: PrefectHistory,
        outbox: Outbox,
        lead: Leadership,
        tail: PrefectTail,
        clock: Clock,
        *,
        poll_s: float = 1.0,
        look_s: float = 15.0,
        stall_s: float = 30.0,
    ) -> None:
        self._outbox, self._lead, self._tail, self._clock = outbox, lead, tail, clock
        self._poll_s, self._look_s, self._stall_s = poll_s, look_s, stall_s
        self._findings = Findings(history, outbox)
        self._hearing = Hearing(tail, history, self._findings, clock)
        self._looking = Look(history, outbox, self._findings, clock)
        self._retry = RetryPolicy(first_s=0.5, longest_s=10.0)
        self._looked, self._told, self._leading = -1e9, -1e9, False
        self._hearing_s = 0.0
        self._progressed, self._steps = clock.monotonic(), 0
        self._trouble = "has not finished a round yet"

    async def check(self) -> str | None:
        """Readiness: None, or why states do not get through."""
        if self._outbox.steps != self._steps:
            # A round may be long, when there is much to catch up with.
            self._steps, self._progressed = self._outbox.steps, self._clock.monotonic()
        silent = self._clock.monotonic() - self._progressed
        return f"no progress for {silent:.0f} s: {self._trouble}" if silent > self._stall_s else None

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop` is set. An outage of Prefect, Kafka or Postgres is waited for."""
        listening = asyncio.create_task(self._tail.run(stop))
        attempt = 0
        try:
            while not stop.is_set():
                try:
                    await self.round()
                    attempt = 0
                except Exception as error:
                    # Also what we did not foresee: a relay that dies would end the triggers beside it.
                    attempt += 1
                    self._note(error, attempt)
                await self._rest(stop, attempt)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await self._lead.give_up()

    async def round(self) -> None:
        """Store and publish all that is new. Does nothing while another instance leads."""
        if await self._lead.held():
            self._leading = True
            # First what a crash or an outage left behind, so that the order within a run holds.
            await self._outbox.publish_pending()
            await self._tell_heard()
            if self._clock.monotonic() - self._looked >= (self._look_s if self._tail.alive else self._poll_s):
                await self._looking.look(self._hearing.heard, self._tail.missed, self._meanwhile)
                self._looked = self._clock.monotonic()
                await self._outbox.publish_pending()
        else:
            self._leading = False
            self._outbox.suspect()
            self._findings.forget()
            self._hearing.forget()
            self._looked = -1e9
        self._progressed = self._clock.monotonic()

    async def _tell_heard(self) -> None:
        began = self._clock.monotonic()
        await self._hearing.hear()
        self._hearing_s = self._clock.monotonic() - began
        await self._outbox.publish_pending()
        self._told = self._clock.monotonic()

    async def _meanwhile(self) -> None:
        """A long look holds up neither what it found itself nor what is heard."""
        if self._clock.monotonic() - self._told >= _MEANWHILE_S:
            await self._tell_heard()

    async def _rest(self, stop: asyncio.Event, attempt: int) -> None:
        """Until there is something to do, or `stop` is set."""
        if attempt or not self._leading:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._retry.delay_s(attempt) if attempt else self._poll_s)
            return
        await asyncio.sleep(min(_LONGEST_PACE_S, max(_PACE_S, self._hearing_s * (1 / _SHARE - 1))))
        waiting = asyncio.create_task(self._tail.wait(self._hearing.next_in_s(self._poll_s)))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([waiting, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, stopped):
            task.cancel()

    def _note(self, error: Exception, attempt: int) -> None:
        self._trouble = f"{type(error).__name__}: {error}"[:300]
        outage = isinstance(error, PrefectAwayError) or dependency_is_down(error) or database_is_down(error)
        log.warning("relay.retry", attempt=attempt, reason=self._trouble, exc_info=None if outage else error)
