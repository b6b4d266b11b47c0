"""Batches about the same trouble take turns, all others go side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.monitor.turns import Turns


class Batches:
    """Batches that hold their turns until they are told to end."""

    def __init__(self) -> None:
        self.turns, self.begun = Turns(), list[str]()
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.gates: dict[str, asyncio.Event] = {}

    async def come(self, name: str, well: str, bad: str) -> None:
        self.gates[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._take(name, set(well), set(bad)))
        await settled()

    async def end(self, name: str) -> None:
        self.gates[name].set()
        await settled()

    async def _take(self, name: str, well: set[str], bad: set[str]) -> None:
        async with self.turns.of(well, bad):
            self.begun.append(name)
            await self.gates[name].wait()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def batches() -> AsyncIterator[Batches]:
    found = Batches()
    yield found
    for task in found.tasks.values():
        task.cancel()


@pytest.mark.parametrize(
    ("second", "waits"),
    [(("y", "z"), False), (("x", ""), False), (("", "x"), True), (("b", ""), True), (("", "b"), True)],
)
async def test_who_decides_about_what_another_touches_waits(
    batches: Batches, second: tuple[str, str], waits: bool
) -> None:
    await batches.come("first", "x", "b")
    await batches.come("second", *second)
    assert batches.begun == (["first"] if waits else ["first", "second"])
    await batches.end("first")
    assert batches.begun == ["first", "second"]


async def test_who_came_first_goes_first(batches: Batches) -> None:
    await batches.come("first", "", "a")
    await batches.come("second", "", "ab")
    await batches.come("third", "", "b")
    assert batches.begun == ["first"]
    await batches.end("first")
    assert batches.begun == ["first", "second"]
    await batches.end("second")
    assert batches.begun == ["first", "second", "third"]


async def test_one_that_is_cancelled_holds_up_nobody(batches: Batches) -> None:
    await batches.come("first", "", "a")
    await batches.come("second", "", "ab")
    await batches.come("third", "", "b")
    batches.tasks["second"].cancel()
    await settled()
    assert batches.begun == ["first", "third"]
