"""Consuming events: decode → handle → commit. An offset moves only after the handler has returned or the record
lies in the dead letters, so a handler sees each event at least once and must recognise a repeat by its id.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Generic

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from prometheus_client import Counter, Gauge
from typing_extensions import TypeVar

from datalab.bus.deadletters import DeadLetters
from datalab.bus.faults import Fault
from datalab.bus.membership import SESSION_S, Share, Silence, joined, new_member
from datalab.bus.offsets import Offsets
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

# Told to stop, it waits so long for a broker that is away; what was done is recognised when it is seen again.
_LAST_WORD_S = 3.0


class Consumer(Generic[Message]):
    """One member of a consumer group. Partitions are handled side by side, records of a partition in order.

    Records are the lab's events unless a `decoder` reads them as something else. `prepare` may fail: it spares work,
    and each event is handled all the same. Under load the broker is told of progress every `commit_every_s`; what was
    done since is seen again after a crash.
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
        commit_every_s: float = 0.25,
        silence_s: float = 30.0,
        session_s: float = SESSION_S,
    ) -> None:
        self._bootstrap, self._group, self._topics, self._batch = bootstrap, group, list(topics), batch
        self._handler, self._dead_letters, self._retry = handler, dead_letters, retry or RetryPolicy()
        self._progress, self._commit_every_s, self._silence_s = Progress(stall_s), commit_every_s, silence_s
        self._decoder, self._prepare, self._session_s = decoder, prepare, session_s

    async def check(self) -> str | None:
        """Readiness: None, or why no progress is made."""
        return self._progress.stalled()

    @property
    def has_caught_up(self) -> bool:
        """Whether, since it was given its share of the topics, it has handled all of it at some time."""
        return self._progress.has_caught_up

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set. A lost broker is waited for, with back-off; so is one that does not answer for
        `silence_s`, on a new connection each time."""
        attempt = 0
        while not stop.is_set():
            consumer = new_member(self._bootstrap, self._group, self._session_s)
            offsets = Offsets(consumer, self._group, self._commit_every_s)
            try:
                async with joined(consumer, self._topics, Share(self._progress.joined, offsets.flush)):
                    attempt = 0
                    await self._consume(consumer, offsets, stop)
            except (KafkaError, OSError) as error:
                attempt += 1
                self._progress.disconnected(str(error))
                log.warning("consumer.reconnecting", group=self._group, reason=str(error), attempt=attempt)
                await _wait(stop, self._retry.delay_s(attempt))

    async def _consume(self, consumer: AIOKafkaConsumer, offsets: Offsets, stop: asyncio.Event) -> None:
        silence = Silence(consumer)
        while not stop.is_set():
            batches = await consumer.getmany(timeout_ms=250, max_records=self._batch)
            silent_s = silence.after_poll(found=bool(batches))
            self._progress.polled(silent_s)
            if silent_s > self._silence_s:
                raise ConnectionError(f"the broker has not answered for {silent_s:.0f} s")
            if not batches:
                await offsets.flush()
            await _side_by_side([self._partition(offsets, tp, records, stop) for tp, records in batches.items()])
            await self._measure_lag(consumer)
        async with asyncio.timeout(_LAST_WORD_S):
            await offsets.flush()

    async def _measure_lag(self, consumer: AIOKafkaConsumer) -> None:
        lags: list[int | None] = []
        for tp in consumer.assignment():
            lags.append(None)
            # A rebalance may take the partition away between any two of these lines.
            with contextlib.suppress(AssertionError, IllegalStateError):
                end = consumer.highwater(tp)
                if end is not None:
                    # The position is known here: a batch or an empty answer has set the high-water mark.
                    lag = lags[-1] = max(0, end - await consumer.position(tp))
                    LAG.labels(self._group, tp.topic, tp.partition).set(lag)
        if not any(lag is None or lag > 0 for lag in lags):
            self._progress.caught_up()

    async def _partition(
        self, offsets: Offsets, tp: TopicPartition, records: Sequence[Any], stop: asyncio.Event
    ) -> None:
        prepared = await self._prepared(records)
        following = None
        for record in records:
            # A batch may hold minutes of work: told to stop, it leaves the rest to the next start.
            if record.offset not in prepared and (stop.is_set() or not await self._one(offsets, tp, record, stop)):
                break
            following = record.offset + 1
        if following is not None:
            await offsets.done(tp, following)

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

    async def _one(self, offsets: Offsets, tp: TopicPartition, record: Any, stop: asyncio.Event) -> bool:
        """Handle one record to its end; False if `stop` came first and it must be seen again."""
        ref = RecordRef(record.topic, record.partition, record.offset)
        attempt, failures = 0, 0
        with self._progress.handling(ref):
            while True:
                attempt += 1
                try:
                    await self._handler(self._decoded(record), ref)
                except CodecError as error:
                    return await self._bury(record, ref, Fault.of(error, self._group, 1, "decode"), stop)
                except Exception as error:
                    # An outage is no failure of the event, and does not count.
                    if not self._retry.waits_for(error):
                        failures = (failures or await offsets.failures(tp, record.offset)) + 1
                        if self._retry.gives_up(error, failures):
                            return await self._bury(record, ref, Fault.of(error, self._group, failures), stop)
                        await offsets.failed(tp, record.offset, failures)
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

    async def _bury(self, record: Any, ref: RecordRef, fault: Fault, stop: asyncio.Event) -> bool:
        """Move the record to the dead letters; tried until it is stored, since the offset moves next."""
        original = EncodedRecord(record.key, record.value or b"", list(record.headers))
        attempt = 0
        while True:
            attempt += 1
            try:
                await self._dead_letters.bury(ref, fault, original)
            except (KafkaError, OSError) as error:
                log.warning("deadletter.retry", at=str(ref), attempt=attempt, reason=str(error))
                if await _wait(stop, self._retry.delay_s(attempt)):
                    return False
            else:
                log.error("event.dead", at=str(ref), group=self._group, reason=fault.reason, attempts=fault.attempts)
                CONSUMED.labels(self._group, ref.topic, "dead").inc()
                return True


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
