"""faust's consumer, handing on records in batches: what faust spends on each message, it spends once per batch.

A batch is what one fetch brought of one partition, in order, at most `MOST` records. Group, rebalances, fetching and
flow control stay faust's; only its unit is another. For `stream` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from datalab.bus.batch import TakenRecord
from datalab.bus.publisher import RecordRef

# Alerts wait behind what is in the same transaction, and a batch is handled twice after a crash.
MOST = 2500
# While records of a partition wait here, aiokafka asks the broker for the others alone, and for nothing else until it
# has answered. Where those are at their end this is how long; it has to be less than what is queued takes to handle.
_FETCH_WAIT_MS = 200


class RecordBatch(ConsumerMessage):
    """Consecutive records of one partition, as one message of faust's; its offset is the last record's."""

    __slots__ = ("records",)
    records: list[TakenRecord]


class _Thread(driver.AIOKafkaConsumerThread):
    """Overrides how long the broker may hold back the answer to a fetch; faust sets it, to 1.5 s."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS
        return consumer


class _Consumer(driver.Consumer):
    """Overrides where faust takes records from its fetcher, where it makes a message of one, and what it does when
    the agent's queue is full."""

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing: whoever fills the queue waits for room in it, and fetches no more meanwhile. faust would leave the
        partition out; all share one queue, so that soon it asks only for those at their end, and waits a second."""

    async def _wait_next_records(
        self,
        timeout: float,  # noqa: ASYNC109 - faust's signature
    ) -> tuple[dict[TP, list[Any]] | None, set[TP] | None]:
        fetched, active = await super()._wait_next_records(timeout)
        if fetched is None:
            return None, active
        return {
            tp: [records[i : i + MOST] for i in range(0, len(records), MOST)] for tp, records in fetched.items()
        }, active

    def _to_message(self, tp: TP, record: Sequence[Any]) -> RecordBatch:
        last = record[-1]
        generation = self.app.consumer_generation_id
        batch = RecordBatch(
            last.topic, last.partition, last.offset, last.timestamp / 1000, last.timestamp_type, None, None, None, None,
            tp=tp, generation_id=generation,
        )  # fmt: skip
        batch.records = [
            TakenRecord(RecordRef(r.topic, r.partition, r.offset), r.timestamp, r.key, r.value, list(r.headers))
            for r in record
        ]
        return batch


class BatchTransport(driver.Transport):
    """faust's own transport with this consumer."""

    Consumer = _Consumer
