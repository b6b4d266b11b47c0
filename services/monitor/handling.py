"""What becomes of batches that follow each other in a partition: read, then stored, then counted as handled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from datalab.bus.batch import TakenRecord
from services.monitor.progress import Partition, Progress
from services.monitor.record_batches import RecordBatch


class Taker(Protocol):
    """What becomes of records, in two steps: the next batch is read while others are stored, several at a time."""

    async def read(self, records: Sequence[TakenRecord]) -> Any:
        """What there is to store. Changes nothing, and raises nothing."""

    async def store(self, read: Any) -> None:
        """Returns once the effects are durable."""


class Handling:
    """A taker's two steps, for batches of a partition that follow each other, and the progress that they make."""

    def __init__(self, taker: Taker, progress: Progress) -> None:
        self._taker, self._progress = taker, progress

    async def read(self, batches: Sequence[RecordBatch]) -> Any:
        """As `Taker.read`."""
        return await self._taker.read([record for batch in batches for record in batch.records])

    async def store(self, lane: Partition, batches: Sequence[RecordBatch], read: Any) -> None:
        """As `Taker.store`."""
        await self._taker.store(read)
        for batch in batches:
            self._progress.done(lane, batch.offset)
