"""The cases. Each publishes its events in portions, so that there is work whenever it strikes."""

from __future__ import annotations

import asyncio
import random
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from schemas.envelope import Event, new_event
from schemas.files import FileArrived
from tests.faults.bridge.books import Books, balance, complete, until_settled
from tests.faults.bridge.parts import Bridges, Parts
from tests.faults.bridge.steps import STEPS

TOPIC = "lab.files"
_KEYS = 7
_REPEATED = 0.1


class Case:
    """One rule, its deployment, and events that it matches, a tenth of which are published again."""

    def __init__(self, name: str, lab: Parts, count: int, chance: random.Random) -> None:
        self.name, self.lab, self.chance = name, lab, chance
        self.tag = f"f{uuid.uuid4().hex[:8]}"
        self.bridges = Bridges(lab)
        self.published: list[Event] = []
        self.repeats = 0
        self._left = [self.event(f"{number}.csv", number) for number in range(count)]
        self.deployment = ""

    async def begin(self, *more_rules: dict[str, Any], only: dict[str, Any] | None = None) -> None:
        """Deploy, and put the rules into force: a plain one and more, or this one only. Each case has its group: it
        reads the topic from its beginning."""
        flow = (await self.lab.api("POST", "/flows/", {"name": self.tag}))["id"]
        schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
        body = {"name": "load", "flow_id": flow, "parameter_openapi_schema": schema, "enforce_parameter_schema": True}
        deployed = await self.lab.api("POST", "/deployments/", body)
        self.deployment = deployed["id"]
        self.lab.group = f"faults-{self.tag}"
        plain = self.rule("matching", "event.data.name.endsWith('.csv')")
        self.lab.write_rules([only] if only else [plain, *more_rules])

    def rule(self, name: str, where: str, **run: Any) -> dict[str, Any]:
        """A rule for this case's events for which the condition holds."""
        run = {"deployment": f"{self.tag}/load", "parameters": {"name": "{{ event.data.name }}"}} | run
        ours = f"event.data.dataset.startsWith('{self.tag}-') && ({where})"
        return {"name": name, "on": ["lab.file.arrived.v1"], "where": ours, "run": run}

    async def publish(self, share: float = 1.0) -> None:
        """Publish this share of what is left, and repeat some of all that was published."""
        portion = self._left[: max(1, round(len(self._left) * share))]
        del self._left[: len(portion)]
        self.published += portion
        again = self.chance.sample(self.published, round(len(portion) * _REPEATED))
        self.repeats += len(again)
        sequence = [*portion]
        for event in again:
            # Anywhere after its first time; the order of first times is the order to keep.
            earliest = sequence.index(event) + 1 if event in portion else 0
            sequence.insert(self.chance.randint(earliest, len(sequence)), event)
        await self.lab.publisher.publish_many(sequence)

    async def books(self) -> Books:
        """Publish what is left, wait until it is done, end the runs, count."""
        if self._left:
            await self.publish()
        await until_settled(self.lab, TOPIC, self.deployment, len(self.published))
        await complete(self.lab, self.deployment)
        return await balance(self.lab, self.name, self.deployment, self.published, self.repeats)

    def event(self, name: str, number: int) -> Event:
        """An event of this case, under one of its few keys."""
        dataset = f"{self.tag}-{number % _KEYS}"
        data = FileArrived(
            uri=f"file:///landing/{name}", path=f"/landing/{name}", name=name, dataset=dataset, format="csv",
            size_bytes=1, sha256="0" * 64, modified_at=datetime.now(UTC),
        )  # fmt: skip
        return new_event(data, source="/faults")


@asynccontextmanager
async def case(name: str, lab: Parts, count: int, chance: random.Random) -> AsyncIterator[Case]:
    """A case that is ready to begin; its bridges are ended."""
    made = Case(name, lab, count, chance)
    try:
        yield made
    finally:
        await made.bridges.end_all()


async def killed_at(lab: Parts, count: int, chance: random.Random, step: str, times: int) -> Books:
    """The bridge is killed so often at this step, and started again."""
    async with case(f"killed {step}", lab, count, chance) as run:
        await run.begin()
        await run.bridges.start()
        for number in range(times):
            await kill_once(run, step, share=1 / (times + 1 - number))
        return await run.books()


async def kill_once(run: Case, step: str, share: float) -> None:
    """Publish a share of the events, kill the bridge when it has come to the step with some of them, start another."""
    async with STEPS[step](run.lab) as reached:
        await run.publish(share)
        await reached()
        await run.bridges.end()
    await run.bridges.start()


async def with_outages(
    name: str, lab: Parts, count: int, chance: random.Random, outage: Callable[[], Awaitable[None]], times: int
) -> Books:
    """Something that the bridge needs goes away so often, at random moments of its work."""
    async with case(name, lab, count, chance) as run:
        await run.begin()
        await run.bridges.start()
        await run.bridges.recover()
        for number in range(times):
            await run.publish(1 / (times + 1 - number))
            await asyncio.sleep(chance.uniform(0.0, 3.0))  # the random moment
            await outage()
            await run.bridges.recover()
        return await run.books()


async def joining_and_leaving(lab: Parts, count: int, chance: random.Random, times: int) -> Books:
    """Three instances; so often one leaves (killed, or in order) and another joins, at random moments."""
    async with case("three instances join and leave", lab, count, chance) as run:
        await run.begin()
        for _ in range(3):
            await run.bridges.start()
        for number in range(times):
            await run.publish(1 / (times + 1 - number))
            await asyncio.sleep(chance.uniform(0.0, 3.0))  # the random moment
            how = signal.SIGKILL if chance.random() < 1 / 3 else signal.SIGTERM
            await run.bridges.end(chance.randrange(len(run.bridges)), how)
            await run.bridges.start()
        return await run.books()
