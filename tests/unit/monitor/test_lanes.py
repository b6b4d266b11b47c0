"""Batches of one partition are stored in order, those of several side by side, and none after one that failed."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from services.monitor.lanes import Lanes


class Work:
    """Pieces of work that end when they are told to."""

    def __init__(self) -> None:
        self.begun, self.done = list[str](), list[str]()
        self.gates: dict[str, asyncio.Event] = {}

    async def __call__(self, name: str) -> None:
        self.begun.append(name)
        await self.gates.setdefault(name, asyncio.Event()).wait()
        self.done.append(name)

    async def end(self, name: str) -> None:
        self.gates[name].set()
        await settled()


async def settled() -> None:
    """Everything that can go on has gone on."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def work() -> Work:
    return Work()


async def test_lanes_go_side_by_side_and_each_keeps_its_order(work: Work) -> None:
    lanes = Lanes(4)
    for lane, name in (("a", "a1"), ("a", "a2"), ("b", "b1")):
        await lanes.add(lane, partial(work, name))
    await settled()
    assert work.begun == ["a1", "b1"]
    await work.end("b1")
    assert work.begun == ["a1", "b1"]
    await work.end("a1")
    assert work.begun == ["a1", "b1", "a2"]
    assert work.done == ["b1", "a1"]


async def test_one_more_than_there_is_room_for_waits(work: Work) -> None:
    lanes = Lanes(2)
    for name in "ab":
        await lanes.add(name, partial(work, name))
    third = asyncio.create_task(lanes.add("c", partial(work, "c")))
    await settled()
    assert not third.done()
    await work.end("b")
    await third
    await settled()
    assert work.begun == ["a", "b", "c"]


async def test_after_one_that_failed_none_begins(work: Work) -> None:
    async def fails() -> None:
        await work("a1")
        raise OSError("no room")

    lanes = Lanes(4)
    await lanes.add("a", fails)
    await lanes.add("a", partial(work, "a2"))
    await lanes.add("b", partial(work, "b1"))
    await settled()
    await work.end("a1")
    await lanes.add("c", partial(work, "c1"))
    await work.end("b1")
    assert lanes.lost == "OSError('no room')"
    assert (work.begun, work.done) == (["a1", "b1"], ["a1", "b1"])


async def test_what_is_cancelled_is_lost_with_all_that_waits_for_it(work: Work) -> None:
    lanes = Lanes(4)
    for name in ("a1", "a2"):
        await lanes.add("a", partial(work, name))
    await settled()
    lanes.cancel()
    await settled()
    assert (work.begun, work.done, lanes.lost) == (["a1"], [], "CancelledError()")
