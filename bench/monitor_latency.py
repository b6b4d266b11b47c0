"""From an event that raises an alert to that alert on `lab.alerts`, one after another, in milliseconds."""

from __future__ import annotations

import asyncio
import time
import uuid

from datalab.bus.consumer import Consumer
from datalab.bus.deadletters import KafkaDeadLetters
from datalab.bus.publisher import Publisher, RecordRef
from schemas.envelope import Event
from tests.support.monitor_events import quality_failed
from tests.support.polling import eventually

_EVERY_S = 0.05


async def alert_latencies(kafka: str, count: int = 100) -> list[float]:
    """Milliseconds from before the event is sent until a consumer has its alert, sorted; all must come."""
    sent: dict[str, float] = {}
    took: dict[str, float] = {}
    stop, tag = asyncio.Event(), uuid.uuid4().hex[:8]

    async def hear(event: Event, _: RecordRef) -> None:
        name = str(event.data.get("labels", {}).get("dataset"))
        if name in sent and name not in took:
            took[name] = (time.perf_counter() - sent[name]) * 1000

    async with Publisher(kafka, "bench") as publisher:
        consumer = Consumer(kafka, f"bench-{tag}", ["lab.alerts"], hear, dead_letters=KafkaDeadLetters(publisher))
        hearing = asyncio.create_task(consumer.run(stop))
        for number in range(count):
            name = f"stocks-{tag}-{number}"
            sent[name] = time.perf_counter()
            await publisher.publish(quality_failed(name))
            await asyncio.sleep(_EVERY_S)

        async def heard() -> int:
            return len(took)

        await eventually(heard, until=lambda heard: heard == count, within_s=60)
        stop.set()
        await hearing
    return sorted(took.values())
