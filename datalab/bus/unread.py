"""When records at given offsets were stored: one is read from each, nothing is committed."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, TopicPartition

# Behind an offset there may be nothing to read but marks of transactions, which nobody is ever given.
_PATIENCE_S = 2.0
_ASK_MS = 200


async def stored_at(
    consumer: AIOKafkaConsumer, offsets: Iterable[tuple[TopicPartition, int]]
) -> Mapping[tuple[TopicPartition, int], datetime]:
    """For each offset when the first record from there on was stored; those that do not come in time are left out.
    The consumer must be started, and is assigned anew."""
    wanted: dict[TopicPartition, list[int]] = defaultdict(list)
    for tp, offset in sorted(set(offsets)):
        wanted[tp].append(offset)
    found: dict[tuple[TopicPartition, int], datetime] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            while wanted:
                # One offset of each partition at a time.
                at = {tp: left.pop() for tp, left in wanted.items()}
                wanted = defaultdict(list, {tp: left for tp, left in wanted.items() if left})
                await _read(consumer, at, found)
    return found


async def _read(
    consumer: AIOKafkaConsumer, at: Mapping[TopicPartition, int], found: dict[tuple[TopicPartition, int], datetime]
) -> None:
    consumer.assign(list(at))
    for tp, offset in at.items():
        consumer.seek(tp, offset)
    missing = set(at)
    while missing:
        for tp, records in (await consumer.getmany(timeout_ms=_ASK_MS)).items():
            if tp in missing and records:
                found[tp, at[tp]] = datetime.fromtimestamp(records[0].timestamp / 1000, UTC)
                missing.discard(tp)
