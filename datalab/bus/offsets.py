"""How far a member of a group has got, and how often it has failed at the record where it stands.

The broker is told of progress at once while there is little to do, and a few times a second under load. Failures are
kept beside the offset, so that whoever takes the partition over goes on counting.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from datalab.runtime.logs import get_logger

log = get_logger(__name__)
_FAILED = "failed="
# A broker that is away is waited for, but not on a connection that is dead.
_ANSWER_S = 30.0


class Offsets:
    """The offsets of one member. Methods raise aiokafka's KafkaError or TimeoutError without a broker."""

    def __init__(self, consumer: AIOKafkaConsumer, group: str, every_s: float) -> None:
        self._consumer, self._group, self._every_s = consumer, group, every_s
        self._done: dict[TopicPartition, int] = {}
        self._told: dict[TopicPartition, float] = {}
        self._stands_at: dict[TopicPartition, int] = {}

    async def done(self, tp: TopicPartition, following: int) -> None:
        """All before the offset `following` is done."""
        self._done[tp] = following
        if time.monotonic() - self._told.get(tp, -self._every_s) >= self._every_s:
            await self.flush([tp])

    async def flush(self, partitions: Iterable[TopicPartition] | None = None) -> None:
        """Tell the broker now."""
        for tp in list(self._done if partitions is None else partitions):
            following = self._done.pop(tp, None)
            # Where a failure is noted the broker knows already, and to tell it anew would take the note away.
            if following is not None and following != self._stands_at.get(tp):
                await self._commit(tp, following, "")
                self._told[tp] = time.monotonic()

    async def failures(self, tp: TopicPartition, offset: int) -> int:
        """How often this record has failed before, in whichever member."""
        with contextlib.suppress(KafkaError):
            async with asyncio.timeout(_ANSWER_S):
                kept = (await self._consumer._coordinator.fetch_committed_offsets([tp])).get(tp)
            return _failures(kept) if kept is not None and kept.offset == offset else 0
        return 0

    async def failed(self, tp: TopicPartition, offset: int, times: int) -> None:
        """Note that the record has failed so often by now; all before it is done."""
        self._done.pop(tp, None)
        self._stands_at[tp] = offset
        await self._commit(tp, offset, f"{_FAILED}{times}")

    async def _commit(self, tp: TopicPartition, following: int, note: str) -> None:
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._consumer.commit({tp: (following, note)})
        except (CommitFailedError, IllegalStateError) as error:
            # The partition went to another member; it will see these records again, and recognise them.
            log.info("commit.lost", group=self._group, partition=f"{tp.topic}[{tp.partition}]", reason=str(error))


def _failures(kept: Any) -> int:
    count = kept.metadata.removeprefix(_FAILED)
    return int(count) if kept.metadata.startswith(_FAILED) and count.isdecimal() else 0
