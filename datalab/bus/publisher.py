"""Publishing events: acknowledged by all replicas, in order per key, no duplicates from the client's own retries."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import NamedTuple, Self

from aiokafka import AIOKafkaProducer
from prometheus_client import Counter

from schemas.catalog import topic_for
from schemas.codec import EncodedRecord, encode
from schemas.envelope import Event

PUBLISHED = Counter("datalab_events_published", "Events acknowledged by Kafka", ["topic"])


class RecordRef(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


class Publisher:
    """Publishes events; an async context manager. Entering raises OSError while no broker answers."""

    def __init__(self, bootstrap: str, client_id: str, *, request_timeout_s: float = 20.0) -> None:
        self._bootstrap, self._client_id = bootstrap, client_id
        self._timeout_s = request_timeout_s
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id=self._client_id,
            # aiokafka's defaults (acks=1, no idempotence) lose and double records when a broker dies.
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=int(self._timeout_s * 1000),
            retry_backoff_ms=200,
        )
        try:
            await producer.start()
        except Exception as error:
            await producer.stop()
            raise ConnectionError(f"no Kafka broker answers at {self._bootstrap}") from error
        self._producer = producer
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()

    async def publish(self, event: Event, topic: str | None = None) -> RecordRef:
        """Publish to the topic of the event's type and wait for the acknowledgement."""
        return await self.publish_record(topic or topic_for(event.type), encode(event))

    async def publish_many(self, events: Iterable[Event]) -> list[RecordRef]:
        """Publish several at once; the answers stand in the order of the events. Raises if any one fails."""
        return list(await asyncio.gather(*(self.publish(event) for event in events)))

    async def publish_record(self, topic: str, record: EncodedRecord, partition: int | None = None) -> RecordRef:
        """Publish a record that is encoded already, such as a dead letter."""
        if self._producer is None:
            raise RuntimeError("the publisher is not open; use it as `async with Publisher(…)`")
        metadata = await self._producer.send_and_wait(
            topic, value=record.value, key=record.key, headers=record.headers, partition=partition
        )
        PUBLISHED.labels(topic).inc()
        return RecordRef(metadata.topic, metadata.partition, metadata.offset)

    async def check(self) -> str | None:
        """Readiness: None, or why the broker cannot be reached."""
        if self._producer is None:
            return "not connected to Kafka"
        await self._producer.client.fetch_all_metadata()
        return None


class SyncPublisher:
    """The same for code without an event loop, such as flows; a context manager with a loop thread of its own."""

    def __init__(self, bootstrap: str, client_id: str) -> None:
        self._publisher = Publisher(bootstrap, client_id)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="publisher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._publisher.__aenter__(), self._loop).result()
        except BaseException:
            self._end_loop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._publisher.__aexit__(kind, error, trace), self._loop).result()
        self._end_loop()

    def publish(self, event: Event) -> RecordRef:
        """Publish and wait for the acknowledgement."""
        return asyncio.run_coroutine_threadsafe(self._publisher.publish(event), self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
