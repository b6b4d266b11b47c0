"""A broker, a database and monitors that are killed, and the count of the alerts that came."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import psutil

from datalab.bus.publisher import Publisher
from datalab.bus.reader import read_events
from datalab.local.control import running
from datalab.local.layout import LabLayout
from datalab.local.parts.postgres import embedded_url
from schemas.envelope import Event
from tests.faults.monitor.stories import Story
from tests.integration.monitor.parts import Monitor, monitor
from tests.support.lab_parts import lab_parts
from tests.support.polling import eventually

_PATIENCE_S = 120.0


class Toll(NamedTuple):
    """What a case cost: what was done, events that were heard, alert events that did not come, and alert events that
    should not have come or came under two ids. `repeated` are records under an id that was there before, by which
    consumers recognise them; a kill between publishing and marking leaves one."""

    cases: int
    events: int
    missed: int
    doubled: int
    repeated: int


@dataclass
class MonitorLab:
    """Everything that runs. All monitors are of one group and have one database."""

    home: Path
    kafka: str
    database: str
    publisher: Publisher
    group: str = "faults"

    @property
    def clock(self) -> Path:
        """Seconds by which the clock of every monitor is ahead."""
        return self.home / "clock"

    @contextmanager
    def monitor(self, **environ: str) -> Iterator[Monitor]:
        """One more process."""
        environ = {"CLOCK_FILE": str(self.clock), "MONITOR_GAUGES_EVERY_S": "600", **environ}
        module = "tests.support.killed_monitor"
        with monitor(self.home, self.kafka, self.database, self.group, module=module, **environ) as process:
            yield process

    async def tell(self, events: Sequence[Event]) -> None:
        """Publish in this order; acknowledged on return."""
        for first in range(0, len(events), 500):
            await self.publisher.publish_many(events[first : first + 500])

    def begin_anew(self) -> None:
        """The monitors that start from now on read everything again, and need not wait for one that was killed."""
        self.group = f"faults-{uuid.uuid4().hex[:8]}"

    async def counted(self, story: Story, cases: int = 1, within_s: float = _PATIENCE_S) -> Toll:
        """Wait for the story's alerts, and until all events are handled; then count."""

        told: dict[tuple[str, str], dict[str, int]] = {}

        async def missed() -> int:
            nonlocal told
            with contextlib.suppress(AssertionError, OSError):  # so a reader ends while the broker is just back
                told = await self._told(story)
            return len(story.alerts - told.keys())

        with contextlib.suppress(AssertionError):  # counted below
            await eventually(missed, until=lambda left: left == 0, within_s=within_s)
        records = sum(sum(ids.values()) for ids in told.values())
        ids = sum(len(ids) for ids in told.values())
        return Toll(
            cases=cases,
            events=len(story.heard),
            missed=len(story.alerts - told.keys()),
            doubled=ids - len(story.alerts & told.keys()),
            repeated=records - ids,
        )

    async def _told(self, story: Story) -> dict[tuple[str, str], dict[str, int]]:
        """By type and cause, how often each alert id is on the topic."""
        causes = {event.id for event in story.heard}
        found: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        async for _, event in read_events(self.kafka, ["lab.alerts"]):
            if event.causationid in causes:
                ids = found[event.type, event.causationid]
                ids[event.id] = ids.get(event.id, 0) + 1
        return found

    async def sql(self, statement: str, *values: object) -> list[Any]:
        """Rows, straight from the database."""
        connection = await asyncpg.connect(self.database.replace("+asyncpg", ""))
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    def part(self, name: str) -> psutil.Process:
        """The process of a part of the lab, as it is now."""
        state = running(LabLayout.at(self.home / "lab"))
        pid = state.parts[name].pid if state else None
        assert pid is not None, f"{name} does not run"
        return psutil.Process(pid)


@asynccontextmanager
async def monitor_lab(home: Path) -> AsyncIterator[MonitorLab]:
    """An empty lab without a monitor."""
    async with AsyncExitStack() as stack:
        parts = lab_parts(home / "lab", ["topics", "migrations"])
        state = await asyncio.to_thread(parts.__enter__)
        stack.push_async_callback(asyncio.to_thread, parts.__exit__, None, None, None)
        kafka = f"127.0.0.1:{state.parts['kafka'].ports['kafka']}"
        publisher = await stack.enter_async_context(Publisher(kafka, "faults", request_timeout_s=60))
        lab = MonitorLab(home, kafka, embedded_url(LabLayout.at(home / "lab")), publisher)
        lab.clock.write_text("0")
        yield lab


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """The process stands still: connections stay open and nothing is answered."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)
