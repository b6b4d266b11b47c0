"""Brings what came of attempts into the ledger, many at once: while one transaction runs, the next ones gather.

Nothing is kept here that matters: what a dying process had not recorded is sent again after its lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import database_is_down
from services.notifier.ledger import Ledger
from services.notifier.retries import Attempted

log = get_logger(__name__)
_GATHER_S = 0.005
_AGAIN_S = 0.5
_AT_ONCE = 500


class Recorder:
    """One per process."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock
        self._waiting: list[tuple[Attempted, asyncio.Future[bool]]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def record(self, attempted: Attempted) -> bool:
        """Returns once it is recorded; False if the claim had passed to another, who decides instead. Raises what
        the database raises when the lease ends before it takes the record."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((attempted, future))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="recorder")
        return await future

    async def _flush(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(_GATHER_S)
                batch, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
                await self._settle(batch)
        finally:
            self._flushing = None

    async def _settle(self, batch: Sequence[tuple[Attempted, asyncio.Future[bool]]]) -> None:
        try:
            held = await self._record([attempted for attempted, _ in batch])
        except Exception as error:
            if len(batch) > 1 and not database_is_down(error):
                # One of them is at fault; the others are not to suffer for it.
                log.warning("record.one-by-one", reason=type(error).__name__, records=len(batch))
                for one in batch:
                    await self._settle([one])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for attempted, future in batch:
            if not future.done():
                future.set_result(attempted.delivery.id in held)

    async def _record(self, attempted: Sequence[Attempted]) -> set[str]:
        # After the lease another process sends them again anyway, under the same ids.
        give_up = self._clock.monotonic() + self._ledger.lease_s
        while True:
            try:
                return await self._ledger.record(attempted)
            except Exception as error:
                if not database_is_down(error) or self._clock.monotonic() > give_up:
                    raise
                log.warning("record.retry", reason=type(error).__name__, records=len(attempted))
            await asyncio.sleep(_AGAIN_S)
