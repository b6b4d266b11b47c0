"""A broker that is killed and comes back: what was acknowledged is on the topic, in order, and nothing twice."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from datalab.bus.publisher import Publisher
from datalab.bus.reader import read_events
from schemas.envelope import Event, new_event
from schemas.metrics import MetricSampled
from tests.support.lab_parts import lab_parts


async def test_a_killed_broker_costs_neither_loss_nor_repeats(tmp_path: Path) -> None:
    parts = lab_parts(tmp_path / "lab", ["topics"])
    state = await asyncio.to_thread(parts.__enter__)
    try:
        bootstrap, pid = f"127.0.0.1:{state.parts['kafka'].ports['kafka']}", state.parts["kafka"].pid
        assert pid is not None
        events = [
            new_event(MetricSampled(of="a", name="number", value=number, unit="1"), source="test")
            for number in range(600)
        ]
        some = asyncio.Event()
        async with Publisher(bootstrap, "test", request_timeout_s=60) as publisher:
            publishing = asyncio.create_task(_steadily(publisher, events, some))
            await some.wait()
            assert not publishing.done()
            os.kill(pid, signal.SIGKILL)
            await asyncio.wait_for(publishing, 90)

        assert [event.id async for _, event in read_events(bootstrap, ["lab.metrics"])] == [e.id for e in events]
    finally:
        await asyncio.to_thread(parts.__exit__, None, None, None)


async def _steadily(publisher: Publisher, events: list[Event], some: asyncio.Event) -> None:
    """Some events at a time, so that the broker's death falls in between; `some` are on the topic before."""
    for start in range(0, len(events), 5):
        await publisher.publish_many(events[start : start + 5])
        if start == len(events) // 3:
            some.set()
        await asyncio.sleep(0.005)
