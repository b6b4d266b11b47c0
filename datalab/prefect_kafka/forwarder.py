"""Carrying records to Kafka behind the back of a server that must not wait for it.

A fast path, not a promise: the newest records wait in memory while Kafka is away, older ones are given up, and so is
what waits when the process dies. Who needs every event asks Prefect's REST for it as well.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from prefect.logging import get_logger

from datalab.bus.publisher import RecordRef, RecordRefusedError
from datalab.bus.retry import RetryPolicy
from schemas.catalog import PREFECT_EVENTS
from schemas.codec import EncodedRecord

log = get_logger("kafka")
# Of some 2 KiB each.
_MOST_WAITING = 10_000
_MOST_AT_ONCE = 500


class Records(AbstractAsyncContextManager["Records"], Protocol):
    """Where records go; see datalab.bus.publisher.Publisher. Entered before its first use."""

    async def publish_all(self, records: Sequence[tuple[str, EncodedRecord]]) -> list[RecordRef | Exception]: ...


class Forwarder:
    """Sends what it is offered, in order, by a task of its own in the running event loop."""

    def __init__(
        self, publisher: Records, *, most_waiting: int = _MOST_WAITING, retry: RetryPolicy | None = None
    ) -> None:
        self._publisher, self._retry = publisher, retry or RetryPolicy(first_s=0.5, longest_s=5.0)
        self._waiting: deque[EncodedRecord] = deque(maxlen=most_waiting)
        self._offered = asyncio.Event()
        self._sending = asyncio.get_running_loop().create_task(self._run())

    def offer(self, record: EncodedRecord) -> None:
        """Take a record along. Returns at once; where too many wait, the oldest is given up."""
        if len(self._waiting) == self._waiting.maxlen:
            log.debug("Too many events wait for Kafka: the oldest is given up.")
        self._waiting.append(record)
        self._offered.set()

    async def close(self) -> None:
        """Stop. What still waits is given up."""
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)

    async def _run(self) -> None:
        async with self._publisher as publisher:
            while True:
                await self._offered.wait()
                self._offered.clear()
                while self._waiting:
                    count = min(len(self._waiting), _MOST_AT_ONCE)
                    await self._deliver(publisher, [self._waiting.popleft() for _ in range(count)])

    async def _deliver(self, publisher: Records, records: Sequence[EncodedRecord]) -> None:
        """Send these records, again and again while Kafka is away: as long as that lasts, newer ones wait."""
        attempt = 0
        while records:
            outcomes = await publisher.publish_all([(PREFECT_EVENTS, record) for record in records])
            failed = [one for one in zip(records, outcomes, strict=True) if isinstance(one[1], Exception)]
            for _, error in failed:
                if isinstance(error, RecordRefusedError):
                    log.warning("Kafka refuses an event of Prefect: %s", error)
            records = [record for record, error in failed if not isinstance(error, RecordRefusedError)]
            if records:
                attempt += 1
                log.log(30 if attempt == 1 else 10, "Prefect's events wait for Kafka: %s", failed[0][1])
                await asyncio.sleep(self._retry.delay_s(attempt))
