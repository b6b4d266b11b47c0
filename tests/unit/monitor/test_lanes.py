"""Batches of one partition are stored in order, those of several side by side, and none after one that failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.monitor.lanes import Lanes, Room

MANY = Room(most=4, of_a_lane=2, together=1, waiting=100)


class Steps:
    """Reads at once, and stores when it is told to. What is to fail is named with a !"""

    def __init__(self) -> None:
        self.read_, self.begun, self.stored = list[str](), list[str](), list[str]()
        self.gates: dict[str, asyncio.Event] = {}

    async def read(self, batches: Sequence[str]) -> str:
        self.read_.append(" ".join(batches))
        return " ".join(batches)

    async def store(self, lane: str, batches: Sequence[str], read: str) -> None:
        assert read == " ".join(batches)
        assert {name[0] for name in batches} == {lane}
        self.begun.append(read)
        await self.gates.setdefault(read, asyncio.Event()).wait()
        if read.endswith("!"):
            raise OSError("no room")
        self.stored.append(read)

    async def end(self, name: str) -> None:
        self.gates[name].set()
        await settled()


async def settled() -> None:
    """Everything that can go on has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def add(lanes: Lanes[str], *names: str) -> None:
    for name in names:
        await lanes.add(name[0], name, 1)
    await settled()


@pytest.fixture
def steps() -> Steps:
    return Steps()


async def test_lanes_go_side_by_side_and_each_keeps_its_order(steps: Steps) -> None:
    lanes = Lanes(steps, MANY)
    await add(lanes, "a1", "a2", "b1")
    assert steps.begun == ["a1", "b1"]
    await steps.end("b1")
    assert steps.begun == ["a1", "b1"]
    await steps.end("a1")
    assert steps.begun == ["a1", "b1", "a2"]
    assert steps.stored == ["b1", "a1"]


async def test_the_next_of_a_lane_is_read_while_one_is_stored(steps: Steps) -> None:
    await add(Lanes(steps, MANY), "a1", "a2", "a3")
    assert (steps.read_, steps.begun) == (["a1", "a2"], ["a1"])
    await steps.end("a1")
    assert (steps.read_, steps.begun) == (["a1", "a2", "a3"], ["a1", "a2"])


async def test_a_lane_that_does_not_get_on_leaves_the_others_their_room(steps: Steps) -> None:
    lanes = Lanes(steps, MANY)
    await add(lanes, *(f"a{number}" for number in range(20)), "b1", "c1")
    assert steps.begun == ["a0", "b1", "c1"]
    await steps.end("b1")
    await add(lanes, "b2", "b3")
    await steps.end("b2")
    assert steps.begun == ["a0", "b1", "c1", "b2", "b3"]


async def test_who_waits_for_longest_is_the_next(steps: Steps) -> None:
    lanes = Lanes(steps, MANY._replace(most=2))
    await add(lanes, "a1", "b1", "c1", "a2", "d1")
    await steps.end("a1")
    await steps.end("c1")
    await steps.end("b1")
    assert steps.begun == ["a1", "b1", "c1", "a2", "d1"]


async def test_what_waited_in_a_lane_is_handled_together_up_to_a_size(steps: Steps) -> None:
    lanes = Lanes(steps, MANY._replace(together=3))
    await add(lanes, *(f"a{number}" for number in range(9)))
    for group in ("a0", "a1", "a2 a3 a4", "a5 a6 a7", "a8"):
        await steps.end(group)
    assert steps.stored == ["a0", "a1", "a2 a3 a4", "a5 a6 a7", "a8"]


async def test_one_that_is_larger_than_what_goes_together_goes_alone(steps: Steps) -> None:
    lanes = Lanes(steps, MANY._replace(together=3))
    for name, size in (("a1", 1), ("a2", 1), ("a3", 5), ("a4", 1)):
        await lanes.add("a", name, size)
    await settled()
    await steps.end("a1")
    await steps.end("a2")
    assert steps.begun == ["a1", "a2", "a3"]


async def test_who_adds_waits_while_too_much_waits(steps: Steps) -> None:
    lanes = Lanes(steps, MANY._replace(waiting=2))
    await add(lanes, "a1", "a2", "a3", "a4")
    more = asyncio.create_task(lanes.add("b", "b1", 1))
    await settled()
    assert more.done()  # it begins at once
    more = asyncio.create_task(lanes.add("a", "a5", 1))
    await settled()
    assert not more.done()
    await steps.end("a1")
    assert more.done()


async def test_after_one_that_failed_none_begins(steps: Steps) -> None:
    lanes = Lanes(steps, MANY._replace(waiting=1))
    await add(lanes, "a1!", "a2", "a3", "b1")
    more = asyncio.create_task(lanes.add("a", "a4", 1))
    await settled()
    assert not more.done()
    await steps.end("a1!")
    await add(lanes, "c1")
    await steps.end("b1")
    assert more.done()
    assert lanes.lost == "OSError('no room')"
    assert (steps.begun, steps.stored) == (["a1!", "b1"], ["b1"])


async def test_what_is_cancelled_is_lost_with_all_that_waits_for_it(steps: Steps) -> None:
    lanes = Lanes(steps, MANY)
    await add(lanes, "a1", "a2", "a3")
    lanes.cancel()
    await settled()
    assert (steps.begun, steps.stored, lanes.lost) == (["a1"], [], "CancelledError()")
