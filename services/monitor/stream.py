"""The stream of events, by faust: one agent over all topics, batches of raw records, no tables. `faust_app`
says how faust is set up.

faust's own acknowledgements are off: it acknowledges what it skips in a rebalance, and what an agent dropped by
raising. Offsets are committed here instead, up to the last record whose effect is durable. faust never creates or
alters a topic, starts no web server and keeps no state.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from datalab.runtime.logs import get_logger
from services.monitor import metrics
from services.monitor.faust_app import faust_app, quieten
from services.monitor.handling import Handling, Taker
from services.monitor.lanes import Lanes, Room
from services.monitor.progress import Partition, Progress
from services.monitor.record_batches import MOST, RecordBatch

log = get_logger(__name__)
_TICK_S = 1.0
_ANSWER_S = 5.0
_LAST_COMMIT_S = 0.5
_STOP_S = 2.0
# Six in hand, of which those of one partition are stored one after another; what waits beside them is unread.
_ROOM = Room(most=6, of_a_lane=2, together=MOST, waiting=2 * MOST)


class StreamStalledError(RuntimeError):
    """The stream stands still and only a new process helps."""


class EventStream:
    """Feeds every record of the topics to a taker, batch after batch, in the order of each partition."""

    def __init__(
        self,
        *,
        bootstrap: str,
        group: str,
        topics: Sequence[str],
        folder: Path,
        taker: Taker,
        progress: Progress,
        broker_answers: Callable[[], Awaitable[bool]],
    ) -> None:
        self._progress, self._broker_answers = progress, broker_answers
        self._folder, self._ready = folder, False
        self._lanes = Lanes[RecordBatch](Handling(taker, progress), _ROOM)
        self._committed: dict[Partition, int] = {}
        self.stuck = False  # whether a thread of faust did not end, so that the process would not either
        self._app = faust_app(bootstrap, group, folder)
        topic = self._app.topic(
            *topics,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            acks=False,
            allow_empty=True,
        )
        self._app.agent(topic, name="monitor")(self._agent)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises StreamStalledError when a new process is needed."""
        quieten()
        self._folder.mkdir(parents=True, exist_ok=True)  # faust wants one, though it keeps nothing in it
        starting = asyncio.create_task(self._app.start(), name="faust")
        try:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _TICK_S if self._ready else _TICK_S / 5)
                    break
                if starting.done():
                    await self._look_after()
                await self._judge(starting)
            await self._commit(_LAST_COMMIT_S)
        finally:
            starting.cancel()
            self._lanes.cancel()  # rolled back; they are seen again
            await self._stop()

    async def check(self) -> str | None:
        """Readiness: None, or why the stream does not get on."""
        return self._progress.unready()

    async def _agent(self, stream: Any) -> None:
        async for event in stream.noack().events():
            batch = event.message
            partition, offsets = (batch.topic, batch.partition), [record.ref.offset for record in batch.records]
            # If not, the watch ends the process; nothing after the missing record may be handled before it.
            if self._progress.begin(partition, offsets, batch.generation_id):
                await self._lanes.add(partition, batch, len(batch.records))

    async def _look_after(self) -> None:
        """Learn what Kafka holds, and commit. What fails now is tried again in a second."""
        try:
            consumer = self._app.consumer
            assignment = {(tp.topic, tp.partition) for tp in consumer.assignment()}
            generation = self._app.consumer_generation_id
            if generation <= 0 or self._app.rebalancing:
                return
            if not self._progress.knows(generation):
                positions = await self._positions(assignment)
                if self._app.consumer_generation_id != generation or self._app.rebalancing:
                    return
                self._committed = dict(positions)
                self._progress.assigned(generation, positions)
            ends = await _within(consumer.highwaters(*(self._tp(p) for p in assignment)))
            self._ready = True
            self._progress.ends({(tp.topic, tp.partition): end for tp, end in ends.items()})
            for (topic, number), lag in self._progress.lag().items():
                metrics.LAG.labels(topic, number).set(lag)
            await self._commit(_ANSWER_S)
        except Exception as error:  # faust and aiokafka raise anything in an outage; the progress decides
            log.warning("stream.unanswered", reason=_one_line(error))

    async def _positions(self, assignment: set[Partition]) -> dict[Partition, int]:
        """Where each partition goes on: what the group committed, or the beginning, also if older is gone already."""
        thread, client = self._client()

        async def ask(tps: list[Any]) -> tuple[list[int | None], dict[Any, int]]:
            return await asyncio.gather(*map(client.committed, tps)), await client.beginning_offsets(tps)

        # In one go: each call into faust's thread waits its turn behind a fetch.
        tps = [self._tp(partition) for partition in assignment]
        committed, first = await _within(thread.call_thread(ask, tps))
        return {(tp.topic, tp.partition): max(at or 0, first[tp]) for tp, at in zip(tps, committed, strict=True)}

    async def _commit(self, within_s: float) -> None:
        due = {p: offset for p, offset in self._progress.committable().items() if self._committed.get(p) != offset}
        if not due:
            return
        thread, client = self._client()
        try:
            # Not Consumer.commit: it ends faust at the first error, and the next second may well succeed.
            offsets = {self._tp(p): offset for p, offset in due.items()}
            await asyncio.wait_for(thread.call_thread(client.commit, offsets), within_s)
        except Exception as error:  # lost to a rebalance or an outage: those records are seen again, and recognised
            log.info("commit.lost", reason=_one_line(error))
        else:
            self._committed |= due

    async def _judge(self, starting: asyncio.Task[None]) -> None:
        if starting.done() and (error := starting.exception()):
            raise StreamStalledError(f"faust did not start: {error!r}")
        if self._app.crashed:
            raise StreamStalledError(f"faust crashed: {self._app.crash_reason!r}")
        if self._lanes.lost is not None:
            raise StreamStalledError(f"a batch was not stored: {self._lanes.lost}")
        reason = self._progress.stalled(broker_answers=True)
        if reason is None:
            return
        # Asked only now, since it costs a request: is it the stream, or is the broker away?
        reason = self._progress.stalled(broker_answers=await self._broker_answers())
        if reason is not None:
            raise StreamStalledError(reason)

    async def _stop(self) -> None:
        try:
            await asyncio.wait_for(self._app.stop(), _STOP_S)
        except Exception as error:  # nothing that faust raises now may hide why the stream ends
            log.warning("stream.stuck", reason=f"faust did not stop: {error!r}")
            self.stuck = True

    def _client(self) -> tuple[Any, Any]:
        """The thread of faust's consumer and aiokafka's consumer in it; faust has no public way to either."""
        thread = self._app.consumer._thread
        return thread, thread._ensure_consumer()

    def _tp(self, partition: Partition) -> Any:
        return self._app.consumer._new_topicpartition(*partition)


async def _within(answer: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(answer, _ANSWER_S)


def _one_line(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_ANSWER_S:g} s"
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
