"""What `bench.monitor` sends: the states of runs of 10,000 deployments, and how it gets them onto the topic fast."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from datalab.bus.publisher import Publisher
from schemas.envelope import Event, new_event
from schemas.runs import RunCompleted, RunStarted

DEPLOYMENTS = 10_000
_AT_ONCE = 2_000


def states(runs: int, first: int = 0) -> Iterator[Event]:
    """Two events for each run, as Prefect tells them: it starts, and some seconds later it has completed."""
    begin = datetime.now(UTC) - timedelta(minutes=30)
    for number in range(first, first + runs):
        started = begin + timedelta(milliseconds=number % 1_000_000)
        seconds = 1 + number % 97
        yield _state(RunStarted, number, "RUNNING", started, started, None)
        ended = started + timedelta(seconds=seconds)
        yield _state(RunCompleted, number, "COMPLETED", ended, started, float(seconds))


def _state(
    model: type[RunStarted | RunCompleted], number: int, kind: str, at: datetime, began: datetime, took: float | None
) -> Event:
    flow = f"flow-{number % 100}"
    data = model(
        run_id=f"run-{number}", run_name=f"brave-{number}", flow=flow,
        deployment=f"{flow}/deployment-{number % DEPLOYMENTS}", state_id=f"{number}-{kind}", state_type=kind,
        state_name=kind.title(), occurred_at=at, start_time=began, end_time=at if took else None, duration_s=took,
    )  # fmt: skip
    return new_event(data, source="/bench", id=f"{number}-{kind}", time=at)


async def send(kafka: str, runs: int, first: int = 0) -> int:
    """Publish the states of so many runs; returns how many events that is. All acknowledged on return."""
    sent = 0
    async with Publisher(kafka, "bench") as publisher:
        batch: list[Event] = []
        for event in states(runs, first):
            batch.append(event)
            if len(batch) == _AT_ONCE:
                sent += len(await publisher.publish_many(batch))
                batch = []
                await asyncio.sleep(0)
        sent += len(await publisher.publish_many(batch))
    return sent
