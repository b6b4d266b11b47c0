"""Being a member of a consumer group: joining it, hearing of one's share, noticing a broker that is gone, leaving."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener

SESSION_S = 15.0
_LEAVE_S = 5.0
# aiokafka asks a broker one question at a time. While that is one about partitions that have nothing, which the broker
# answers only after this time, a partition with more to read, or to which a record comes just now, has to wait.
_FETCH_WAIT_MS = 50
# So much at once, that those waits are few.
_FETCH_BYTES = 4 * 1024 * 1024


def new_member(bootstrap: str, group: str, session_s: float = SESSION_S) -> AIOKafkaConsumer:
    """A consumer that commits only what it is told to, and may take an hour over a record. Without a sign of life for
    `session_s` the group gives its share to others."""
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,  # auto-commit would move offsets before the effect
        auto_offset_reset="earliest",
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        max_partition_fetch_bytes=_FETCH_BYTES,
        session_timeout_ms=int(session_s * 1000),
        heartbeat_interval_ms=int(session_s * 1000 / 5),
        # A dependency may be away for long while a handler keeps trying; heartbeats go on meanwhile.
        max_poll_interval_ms=3_600_000,
    )


@contextlib.asynccontextmanager
async def joined(
    consumer: AIOKafkaConsumer, topics: list[str], listener: ConsumerRebalanceListener
) -> AsyncIterator[None]:
    """The consumer as a member of its group, until the end of the block."""
    consumer.subscribe(topics, listener=listener)
    try:
        await consumer.start()
        yield
    finally:
        await leave(consumer)


async def leave(consumer: AIOKafkaConsumer) -> None:
    """Leave the group. A broker that is away need not be told: the session ends by itself."""
    # In a task of its own: without a broker aiokafka's stop may end in the cancellation of a task that it cancelled
    # itself, which looks like ours, and with its connections still open.
    stopping = asyncio.create_task(consumer.stop())
    await asyncio.wait([stopping], timeout=_LEAVE_S)
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
    await consumer._client.close()


class Share(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Tells when the group has given this member its share, which may be nothing, and when it takes it back."""

    def __init__(self, given: Callable[[], None], taken: Callable[[], Awaitable[None]]) -> None:
        self._given, self._taken = given, taken

    async def on_partitions_revoked(self, revoked: object) -> None:
        """What is handled meanwhile is seen again by the next owner, who recognises it; what is done need not be."""
        await self._taken()

    def on_partitions_assigned(self, assigned: object) -> None:
        """The member is part of the group."""
        self._given()


class Silence:
    """How long the broker has owed an answer: aiokafka hides a broker that is away and tries again for ever."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._asking_since: float | None = None

    def after_poll(self, *, found: bool) -> float:
        """Seconds since the broker last answered about any partition of ours; 0 while that cannot be known.

        While records that were fetched earlier are handled nothing is asked for, so that is no silence."""
        if found:
            self._asking_since = None
            return 0.0
        now = time.monotonic()
        if self._asking_since is None:
            self._asking_since = now
        return min(now - self._asking_since, self._since_answer())

    def _since_answer(self) -> float:
        try:
            answers = [self._consumer.last_poll_timestamp(tp) for tp in self._consumer.assignment()]
        except AssertionError:  # a rebalance took the partition away in between
            return 0.0
        known = [answer for answer in answers if answer is not None]
        return max(0.0, time.time() - max(known) / 1000) if known else 0.0
