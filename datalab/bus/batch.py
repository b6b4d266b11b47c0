"""A bounded piece of work on one topic: take some records as a member of a group, do the work, commit.

For runs that end, such as a flow's; what never ends is `consumer`. Nothing is committed but by `commit`, so what was
taken and not committed is seen again, by the next run.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from datalab.bus.membership import leave, new_member
from datalab.bus.publisher import RecordRef
from schemas.codec import EncodedRecord

_POLL_MS = 200
_ANSWER_S = 10.0  # how long the broker may take to say where the topic ends
_STUCK_S = 60.0  # how long records may wait at the broker without coming


class TakenRecord(NamedTuple):
    """A record and its place. `value` is None for a tombstone; the time is the producer's or the broker's, in ms."""

    ref: RecordRef
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]

    def encoded(self) -> EncodedRecord:
        """The record without its place, as it goes to the dead letters."""
        return EncodedRecord(self.key, self.value or b"", self.headers)


class Batch(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """A member of `group` on `topic`; an async context manager that leaves the group at its end.

    Each method raises ConnectionError or TimeoutError when the broker is away, and may then be called again: what was
    taken until then is kept. Groups without an offset begin at the first record that is kept.
    """

    def __init__(self, bootstrap: str, group: str, topic: str, *, join_s: float = 60.0) -> None:
        self._bootstrap, self._group, self._topic, self._join_s = bootstrap, group, topic, join_s
        self._consumer: AIOKafkaConsumer | None = None
        self._assigned = asyncio.Event()
        self._taken: list[TakenRecord] = []
        self._next: dict[TopicPartition, int] = {}
        self._uncommitted: set[TopicPartition] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    async def take(self, limit: int, idle_s: float) -> list[TakenRecord]:
        """At most `limit` records, in order per partition. Fewer, or none, only when none came for `idle_s` seconds
        and the broker confirms that the group has them all."""
        with _plain_errors(self._topic):
            consumer = await self._joined()
            last = time.monotonic()
            while len(self._taken) < limit:
                left = limit - len(self._taken)
                if self._keep(await consumer.getmany(timeout_ms=_POLL_MS, max_records=left)):
                    last = time.monotonic()
                elif (quiet := time.monotonic() - last) >= idle_s:
                    if await _is_drained(consumer):
                        break
                    if quiet > idle_s + _STUCK_S:
                        raise TimeoutError(f"records of {self._topic} wait, and none came for {quiet:.0f} s")
        return list(self._taken)

    async def commit(self) -> list[str]:
        """Let the group's offsets move past all that was taken. Returns the partitions that meanwhile went to another
        member, which will see their records again; usually none."""
        if self._consumer is None:
            raise RuntimeError("nothing was taken")
        with _plain_errors(self._topic):
            ours = self._uncommitted & self._consumer.assignment()
            try:
                if ours:
                    await self._consumer.commit({tp: self._next[tp] for tp in ours})
            except (CommitFailedError, IllegalStateError):
                ours = set()
        lost = sorted(str(tp.partition) for tp in self._uncommitted - ours)
        self._taken.clear()
        self._uncommitted.clear()
        return lost

    def on_partitions_revoked(self, revoked: object) -> None:
        """Nothing to do: a commit for a partition that is gone is left out."""

    def on_partitions_assigned(self, assigned: object) -> None:
        """The group has given this member its share, which may be nothing while another run has it."""
        self._assigned.set()

    async def _joined(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            self._consumer = await self._join()
        try:
            # After a run that was killed the group waits for that member, until its session ends.
            await asyncio.wait_for(self._assigned.wait(), self._join_s)
        except TimeoutError:
            raise TimeoutError(
                f"group {self._group} gave no partition of {self._topic} in {self._join_s:g} s"
            ) from None
        return self._consumer

    async def _join(self) -> AIOKafkaConsumer:
        consumer = new_member(self._bootstrap, self._group)
        consumer.subscribe([self._topic], listener=self)
        try:
            await consumer.start()
        except BaseException:
            await leave(consumer)
            raise
        return consumer

    def _keep(self, batches: Mapping[TopicPartition, Sequence[Any]]) -> bool:
        """Note what came; whether anything did."""
        for tp, records in batches.items():
            for record in records:
                # A rebalance lets a partition that stays ours start again at the committed offset.
                if record.offset >= self._next.get(tp, 0):
                    self._next[tp] = record.offset + 1
                    self._uncommitted.add(tp)
                    ref = RecordRef(record.topic, record.partition, record.offset)
                    headers = list(record.headers)
                    self._taken.append(TakenRecord(ref, record.timestamp, record.key, record.value, headers))
        return bool(batches)

    async def _leave(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._assigned.clear()
        if consumer is not None:
            await leave(consumer)


async def _is_drained(consumer: AIOKafkaConsumer) -> bool:
    """Whether every partition of ours is read to its end. aiokafka hides a broker that is away, so ask it."""
    ours = consumer.assignment()
    async with asyncio.timeout(_ANSWER_S):
        ends = await consumer.end_offsets(ours) if ours else {}
        return all([await consumer.position(tp) >= end for tp, end in ends.items()])


@contextlib.contextmanager
def _plain_errors(topic: str) -> Iterator[None]:
    try:
        yield
    except IllegalStateError as error:  # a rebalance took the partition away in between
        raise ConnectionError(f"the group of {topic} is being rebalanced: {error}") from error
    except KafkaError as error:
        raise ConnectionError(f"Kafka does not answer about {topic}: {type(error).__name__}: {error}") from error
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"Kafka did not say within {_ANSWER_S:g} s where {topic} ends") from error
