"""Runs of a deployment that has a limit, and how often they were told of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemas.envelope import Event
from schemas.runs import RunCompleted, RunOverrun, RunScheduled, RunStarted
from tests.integration.monitor.parts import Monitor, Taps
from tests.support.monitor_events import State, run_event

OVERRUN = RunOverrun.type


class Job:
    """Runs of one deployment of its own, with a limit of its own."""

    def __init__(self, running: Monitor, taps: Taps, name: str) -> None:
        self.running, self.taps, self.deployment = running, taps, f"etl/{name}"

    def event(self, model: State, run: str, ago: float = 0.0, **data: object) -> Event:
        """A state of a run, as long ago as said; it started then too unless `started` says otherwise."""
        time = datetime.now(UTC) - timedelta(seconds=ago)
        return run_event(model, run=run, deployment=self.deployment, time=time, **data)

    def started(self, run: str, ago: float, *, first: float | None = None) -> Event:
        first_at = datetime.now(UTC) - timedelta(seconds=ago if first is None else first)
        return self.event(RunStarted, run, ago, start_time=first_at)

    async def limited(self, seconds: float) -> None:
        await self.taps.publish(self.event(RunScheduled, f"{self.deployment}-known"))
        await self.running.limit(self.deployment, seconds)

    async def look_again(self) -> None:
        """Return after everything published so far was handled and looked at."""
        marker = f"{self.deployment}-{datetime.now(UTC).timestamp()}"
        await self.taps.publish(self.started(marker, 10_000))
        await self.taps.until_alerts(1, run_id=marker)
        await self.taps.publish(self.event(RunCompleted, marker))
        await self.taps.until_alerts(2, run_id=marker)

    async def told(self, run: str) -> list[Event]:
        """The overruns of a run."""
        return [event for event in await self.taps.events("lab.runs", run) if event.type == OVERRUN]
