"""Consuming events: decode → handle → commit. An offset moves only after the handler has returned or the record
lies in the dead letters, so a handler sees each event at least once and must recognise a repeat by its id.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Generic

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from prometheus_client import Counter, Gauge
from typing_extensions import TypeVar

from datalab.bus.deadletters import DeadLetters
from datalab.bus.progress import Progress
from datalab.bus.publisher import RecordRef
from datalab.bus.retry import RetryPolicy
from datalab.runtime.logs import get_logger
from schemas.codec import CodecError, EncodedRecord, decode
from schemas.envelope import Event

log = get_logger(__name__)
Message = TypeVar("Message", default=Event)
Handler = Callable[[Event, RecordRef], Awaitable[None]]
# Is shown what lies ahead in a partition, to do in one go what handling would do one by one; answers with what is done.
Prepare = Callable[[Sequence[tuple[Event, RecordRef]]], Awaitable[set[RecordRef]]]
# From key, value and headers; raises CodecError for what it cannot read.
Decoder = Callable[[bytes | None, bytes | None, Sequence[tuple[str, bytes]]], Message]
CONSUMED = Counter("datalab_events_consumed", "Records by outcome", ["group", "topic", "outcome"])
LAG = Gauge("datalab_consumer_lag", "Records between position and end", ["group", "topic", "partition"])


class Consumer(Generic[Message]):
    """One member of a consumer group. Partitions are handled side by side, records of a partition in order.

    Records are the lab's events unless a `decoder` reads them as something else. `prepare` may fail: it spares work,
    and each event is handled all the same.
    """

    def __init__(  # noqa: PLR0913 - one for each thing that may differ between groups, all but four by name
        self,
        bootstrap: str,
        group: str,
        topics: Sequence[str],
        handler: Callable[[Message, RecordRef], Awaitable[None]],
        *,
        decoder: Decoder[Message] | None = None,
        prepare: Prepare | None = None,
        dead_letters: DeadLetters,
        retry: RetryPolicy | None = None,
        batch: int = 200,
        stall_s: float = 60.0,
    ) -> None:
        self._bootstrap, self._group, self._topics, self._batch = bootstrap, group, list(topics), batch
        self._handler, self._dead_letters, self._retry = handler, dead_letters, retry or RetryPolicy()
        self._progress = Progress(stall_s)
        self._decoder, self._prepare = decoder, prepare

    async def check(self) -> str | None:
        """Readiness: None, or why no progress is made."""
        return self._progress.stalled()

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set. A lost broker is waited for, with back-off."""
        attempt = 0
        while not stop.is_set():
            try:
                async with _joined(self._consumer(), self._topics, _OnAssignment(self._progress)) as consumer:
                    attempt = 0
                    await self._consume(consumer, stop)
            except (KafkaError, OSError) as error:
                attempt += 1
                self._progress.disconnected(str(error))
                log.warning("consumer.reconnecting", group=self._group, reason=str(error), attempt=attempt)
                await _wait(stop, self._retry.delay_s(attempt))

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=self._group,
            enable_auto_commit=False,  # auto-commit would move offsets before the effect
            auto_offset_reset="earliest",
            session_timeout_ms=15_000,
            heartbeat_interval_ms=3_000,
            # A dependency may be away for long while a handler keeps trying; heartbeats go on meanwhile.
            max_poll_interval_ms=3_600_000,
        )

    async def _consume(self, consumer: AIOKafkaConsumer, stop: asyncio.Event) -> None:
        while not stop.is_set():
            batches = await consumer.getmany(timeout_ms=250, max_records=self._batch)
            self._progress.polled(0.0 if batches else _silence_s(consumer))
            await _side_by_side([self._partition(consumer, tp, rs, stop) for tp, rs in batches.items()])
            await self._measure_lag(consumer)

    async def _measure_lag(self, consumer: AIOKafkaConsumer) -> None:
        for tp in consumer.assignment():
            # A rebalance may take the partition away between any two of these lines.
            with contextlib.suppress(AssertionError, IllegalStateError):
                end = consumer.highwater(tp)
                if end is not None:
                    # The position is known here: a batch or an empty answer has set the high-water mark.
                    LAG.labels(self._group, tp.topic, tp.partition).set(max(0, end - await consumer.position(tp)))

    async def _partition(
        self, consumer: AIOKafkaConsumer, tp: TopicPartition, records: Sequence[Any], stop: asyncio.Event
    ) -> None:
        prepared = await self._prepared(records)
        done = None
        for record in records:
            # A batch may hold minutes of work: told to stop, it leaves the rest to the next start.
            if record.offset not in prepared and (stop.is_set() or not await self._one(record, stop)):
                break
            done = record.offset + 1
        if done is None:
            return
        try:
            await consumer.commit({tp: done})
        except (CommitFailedError, IllegalStateError) as error:
            # The partition went to another member; it will see these records again, and recognise them.
            log.info("commit.lost", group=self._group, partition=f"{tp.topic}[{tp.partition}]", reason=str(error))

    async def _prepared(self, records: Sequence[Any]) -> set[int]:
        """The offsets of the records that need no handling any more."""
        batch = []
        if self._prepare is None or len(records) == 1:
            return set()
        for record in records:
            with contextlib.suppress(CodecError):
                batch.append((self._decoded(record), RecordRef(record.topic, record.partition, record.offset)))
        if not batch:
            return set()
        at = batch[0][1]
        try:
            with self._progress.handling(at):
                done = await self._prepare(batch)
        except Exception as error:
            log.warning("batch.unprepared", at=str(at), reason=_reason(error))
            return set()
        CONSUMED.labels(self._group, at.topic, "handled").inc(len(done))
        return {ref.offset for ref in done}

    async def _one(self, record: Any, stop: asyncio.Event) -> bool:
        """Handle one record to its end; False if `stop` came first and it must be seen again."""
        ref = RecordRef(record.topic, record.partition, record.offset)
        attempt = 0
        with self._progress.handling(ref):
            while True:
                attempt += 1
                try:
                    await self._handler(self._decoded(record), ref)
                except CodecError as error:
                    return await self._bury(record, ref, str(error), stop)
                except Exception as error:
                    if self._retry.gives_up(error, attempt):
                        return await self._bury(record, ref, f"{type(error).__name__}: {error}", stop)
                    log.warning("event.retry", at=str(ref), attempt=attempt, reason=_reason(error))
                    if await _wait(stop, self._retry.delay_s(attempt)):
                        return False
                else:
                    CONSUMED.labels(self._group, ref.topic, "handled").inc()
                    return True

    def _decoded(self, record: Any) -> Any:
        if self._decoder is not None:
            return self._decoder(record.key, record.value, record.headers)
        # An event without a time has the same one at each reading.
        stored_at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        return decode(record.key, record.value, record.headers, stored_at)

    async def _bury(self, record: Any, ref: RecordRef, reason: str, stop: asyncio.Event) -> bool:
        """Move the record to the dead letters; tried until it is stored, since the offset moves next."""
        original = EncodedRecord(record.key, record.value or b"", list(record.headers))
        attempt = 0
        while True:
            attempt += 1
            try:
                await self._dead_letters.bury(ref, self._group, reason, original)
            except (KafkaError, OSError) as error:
                log.warning("deadletter.retry", at=str(ref), attempt=attempt, reason=str(error))
                if await _wait(stop, self._retry.delay_s(attempt)):
                    return False
            else:
                log.error("event.dead", at=str(ref), group=self._group, reason=reason)
                CONSUMED.labels(self._group, ref.topic, "dead").inc()
                return True


class _OnAssignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Tells the progress that the group has given this member its share, which may be nothing."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_partitions_revoked(self, revoked: object) -> None:
        """Nothing to do: what is handled meanwhile is seen again by the next owner, who recognises it."""

    def on_partitions_assigned(self, assigned: object) -> None:
        """The member is part of the group."""
        self._progress.joined()


@contextlib.asynccontextmanager
async def _joined(
    consumer: AIOKafkaConsumer, topics: list[str], listener: ConsumerRebalanceListener
) -> AsyncIterator[AIOKafkaConsumer]:
    consumer.subscribe(topics, listener=listener)
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


def _silence_s(consumer: AIOKafkaConsumer) -> float:
    """Seconds since the broker last answered about any partition of ours; 0 while that cannot be known."""
    try:
        answers = [consumer.last_poll_timestamp(tp) for tp in consumer.assignment()]
    except AssertionError:  # a rebalance took the partition away in between
        return 0.0
    known = [answer for answer in answers if answer is not None]
    return max(0.0, time.time() - max(known) / 1000) if known else 0.0


async def _side_by_side(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all to their end. If one fails the others are cancelled first: none may go on behind our back while the
    next connection hands out the same records again."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _wait(stop: asyncio.Event, seconds: float) -> bool:
    """Wait, or return True as soon as `stop` is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
