"""Publishing events: acknowledged by all replicas, in order per key, no duplicates from the client's own retries."""

from __future__ import annotations

import asyncio
from collections import Counter as Counts
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from prometheus_client import Counter

from datalab.bus.loop_thread import LoopThread
from datalab.bus.sending import BATCH_BYTES, Addressed, Sent, send_each
from schemas.catalog import topic_for
from schemas.codec import EncodedRecord, encode
from schemas.envelope import Event

PRODUCER_SETTINGS: dict[str, Any] = {
    # aiokafka's defaults (acks=1, no idempotence) lose and double records when a broker dies.
    "acks": "all",
    "enable_idempotence": True,
    "retry_backoff_ms": 200,
    "max_batch_size": BATCH_BYTES,
}
PUBLISHED = Counter("datalab_events_published", "Events acknowledged by Kafka", ["topic"])


class RecordRef(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


class RecordRefusedError(ValueError):
    """Kafka will never take this record, such as one that is too large. The message says why."""


@dataclass
class _Work:
    """Records on their way, and what became of each until now."""

    records: Sequence[Addressed]
    partition: int | None
    producer: AIOKafkaProducer | None = None
    sent: list[Sent | Exception] = field(default_factory=list)

    def unanswered(self) -> set[asyncio.Future[Any]]:
        """The acknowledgements that are still to come."""
        return {one.acknowledged for one in self.sent if isinstance(one, Sent) and not one.acknowledged.done()}

    def fail_rest(self, after_s: float) -> None:
        """What is not acknowledged by now is too late."""
        late = TimeoutError(f"Kafka did not acknowledge a record for {self.records[0][0]} in {after_s:g} s")
        waiting = self.unanswered()
        for one in waiting:
            one.add_done_callback(_forget)
        self.sent = [late if isinstance(one, Sent) and one.acknowledged in waiting else one for one in self.sent]
        self.sent += [late] * (len(self.records) - len(self.sent))


def _forget(sent: asyncio.Future[Any]) -> None:
    """Nobody waits any more; without this the event loop would complain that nobody looked."""
    if not sent.cancelled():
        sent.exception()


class Publisher:
    """Publishes events; an async context manager. Entering raises ConnectionError while no broker answers, unless
    `connect_later`: then the first publishing or `check` connects.

    Publishing raises ConnectionError or TimeoutError when the broker is away, RecordRefusedError when the record is
    at fault. After a TimeoutError the record may or may not be on the topic; repeat it under the same id.
    """

    def __init__(
        self, bootstrap: str, client_id: str, *, request_timeout_s: float = 20.0, connect_later: bool = False
    ) -> None:
        self._bootstrap, self._client_id = bootstrap, client_id
        self._timeout_s, self._connect_later = request_timeout_s, connect_later
        self._producer: AIOKafkaProducer | None = None
        self._entered = False
        self._opening, self._sending = asyncio.Lock(), asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._entered = True
        try:
            if not self._connect_later:
                await self._open()
        except BaseException:
            self._entered = False
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._entered = False
        if self._producer is not None:
            producer, self._producer = self._producer, None
            try:
                # Stopping sends what is left, which would wait for ever for a broker that does not come back.
                await asyncio.wait_for(producer.stop(), min(self._timeout_s, 5.0))
            except (TimeoutError, KafkaError):
                await _abandon(producer)

    async def publish(self, event: Event, topic: str | None = None) -> RecordRef:
        """Publish to the topic of the event's type and wait for the acknowledgement."""
        return await self.publish_record(topic or topic_for(event.type), encode(event))

    async def publish_many(self, events: Iterable[Event]) -> list[RecordRef]:
        """Publish several at once; the answers stand in the order of the events. Raises if any one fails."""
        return list(await asyncio.gather(*(self.publish(event) for event in events)))

    async def publish_record(self, topic: str, record: EncodedRecord, partition: int | None = None) -> RecordRef:
        """Publish a record that is encoded already, such as a dead letter."""
        (outcome,) = await self._publish_all([(topic, record)], partition)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def publish_all(self, records: Sequence[Addressed]) -> list[RecordRef | Exception]:
        """Publish encoded records, each to the topic beside it, in this order. The answers stand in the same order:
        the record's place, or what publishing it alone would have raised."""
        return await self._publish_all(records, None)

    async def _publish_all(self, records: Sequence[Addressed], partition: int | None) -> list[RecordRef | Exception]:
        work = _Work(records, partition)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._send_all(work)
        except TimeoutError:
            work.fail_rest(self._timeout_s)
            # Only the one it was given to: who has waited for its turn until now must not take away a newer one.
            if work.producer is not None and work.producer is self._producer:
                await self._drop()
        except OSError as error:
            work.sent += [error] * (len(records) - len(work.sent))
        outcomes = [_outcome(one, topic) for one, (topic, _) in zip(work.sent, records, strict=True)]
        if any(isinstance(one, ConnectionError) for one in outcomes) and self._is_broken():
            await self._drop()
        for topic, count in Counts(one.topic for one in outcomes if isinstance(one, RecordRef)).items():
            PUBLISHED.labels(topic).inc(count)
        return outcomes

    async def _send_all(self, work: _Work) -> None:
        """Returns when all are acknowledged or have failed."""
        # One after the other, in the order of the calls: where aiokafka's buffer is full it lets those who wait in
        # again in any order. The lock is fair; the acknowledgements are awaited outside of it.
        async with self._sending:
            work.producer = await self._open()
            await send_each(work.producer, work.records, work.partition, work.sent)
        if waiting := work.unanswered():
            await asyncio.wait(waiting)

    async def check(self) -> str | None:
        """Readiness: None, or why the broker cannot be reached."""
        producer = await self._open()
        await producer.client.fetch_all_metadata()
        return None

    async def _open(self) -> AIOKafkaProducer:
        """The producer, a new one if the last was dropped; raises ConnectionError while no broker answers."""
        if not self._entered:
            raise RuntimeError("the publisher is not open; use it as `async with Publisher(…)`")
        async with self._opening:
            if self._producer is None:
                producer = self._new_producer()
                try:
                    # Starting asks for a producer id again and again if the broker goes away in between.
                    await asyncio.wait_for(producer.start(), self._timeout_s)
                except (KafkaError, OSError, TimeoutError) as error:
                    await _abandon(producer)
                    raise ConnectionError(f"no Kafka broker answers at {self._bootstrap}") from error
                except BaseException:
                    await _abandon(producer)
                    raise
                self._producer = producer
            return self._producer

    def _new_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id=self._client_id,
            request_timeout_ms=int(self._timeout_s * 1000),
            **PRODUCER_SETTINGS,
        )

    def _is_broken(self) -> bool:
        """Whether the producer's sending task has ended, after which it fails for ever."""
        sender = self._producer and self._producer._sender.sender_task
        return sender is not None and sender.done()

    async def _drop(self) -> None:
        """Let go of a producer that does not get on, with what it still holds: an idempotent one never gives up a
        record, so that each repeat by a caller would add one more copy, all of them sent when the broker is back."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await _abandon(producer)


def _outcome(sent: Sent | Exception, topic: str) -> RecordRef | Exception:
    error: BaseException | None = None
    if isinstance(sent, Exception):
        error = sent
    elif (error := sent.acknowledged.exception()) is None:
        metadata = sent.acknowledged.result()
        return RecordRef(metadata.topic, metadata.partition, metadata.offset + sent.position)
    if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError | InvalidTopicError):
        return RecordRefusedError(f"{type(error).__name__}: {error}")
    if isinstance(error, KafkaError):
        gone = ConnectionError(f"Kafka does not take records for {topic}: {type(error).__name__}")
        gone.__cause__ = error
        return gone
    if isinstance(error, Exception):
        return error
    raise error


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Close without sending what is left; whoever waits for it gets an error. aiokafka has no public way."""
    producer._closed = True
    producer._message_accumulator.fail_all(KafkaConnectionError("the connection was given up"))
    sender = producer._sender.sender_task if producer._sender is not None else None
    if sender is not None:
        sender.cancel()
    await producer.client.close()
    if sender is not None:
        await asyncio.wait([sender], timeout=1.0)


class SyncPublisher:
    """The same for code without an event loop, such as flows; a context manager with a loop thread of its own."""

    def __init__(self, bootstrap: str, client_id: str) -> None:
        self._publisher = Publisher(bootstrap, client_id)
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._loop = opened.enter_context(LoopThread("publisher"))
            self._loop.enter(self._publisher, opened)
            self._resources = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.__exit__(kind, error, trace)

    def publish(self, event: Event) -> RecordRef:
        """Publish and wait for the acknowledgement."""
        return self._loop.run(self._publisher.publish(event))
