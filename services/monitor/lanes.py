"""Batches on their way: those of one partition in order, those of several side by side. Nothing of Kafka here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

Batch = TypeVar("Batch")
Batch_contra = TypeVar("Batch_contra", contravariant=True)


class Steps(Protocol[Batch_contra]):
    """What is done with batches of one lane that follow each other."""

    async def read(self, batches: Sequence[Batch_contra]) -> Any:
        """What there is to store."""

    async def store(self, lane: Any, batches: Sequence[Batch_contra], read: Any) -> None:
        """Begins once all before it in its lane is stored."""


class Room(NamedTuple):
    """How much at once. Of a lane two at most, one that is read while one is stored: a lane that cannot get on leaves
    the others theirs. `together` and `waiting` are in the unit of the sizes that batches are given with."""

    most: int
    of_a_lane: int
    together: int  # what waited in a lane is handled as one, up to this
    waiting: int


class Lanes(Generic[Batch]):
    """Work that fails is the last to begin: what comes after a batch that was not stored must not be stored either."""

    def __init__(self, steps: Steps[Batch], room: Room) -> None:
        self._steps, self._room = steps, room
        self._waiting: dict[Hashable, deque[tuple[Batch, int]]] = {}  # the lane that waits for longest is the first
        self._size = 0
        self._under_way: dict[asyncio.Task[None], Hashable] = {}
        self._last: dict[Hashable, asyncio.Task[None]] = {}
        self._reading = asyncio.Lock()
        self.lost: str | None = None  # why a batch was not stored

    async def add(self, lane: Hashable, batch: Batch, size: int) -> None:
        """Let it begin once it is its turn. Returns at once, or when there is room for more that waits."""
        if self.lost is not None:
            return
        self._waiting.setdefault(lane, deque()).append((batch, size))
        self._size += size
        self._begin()
        while self._size > self._room.waiting and self.lost is None:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    def cancel(self) -> None:
        """End what is under way; what was not done is lost."""
        for task in self._under_way:
            task.cancel()

    def _begin(self) -> None:
        under_way = list(self._under_way.values())
        for lane in list(self._waiting):
            if self.lost is not None or len(self._under_way) >= self._room.most:
                return
            if under_way.count(lane) < self._room.of_a_lane:
                self._start(lane, self._next(lane))

    def _next(self, lane: Hashable) -> list[Batch]:
        """What of the lane waits, as much as may be handled together, and one in any case."""
        waiting = self._waiting.pop(lane)
        batches, together = list[Batch](), 0
        while waiting and (not batches or together + waiting[0][1] <= self._room.together):
            batch, size = waiting.popleft()
            batches.append(batch)
            together += size
        if waiting:
            self._waiting[lane] = waiting
        self._size -= together
        return batches

    def _start(self, lane: Hashable, batches: Sequence[Batch]) -> None:
        task = asyncio.create_task(self._do(lane, batches, self._last.get(lane)), name=f"store {lane}")
        self._under_way[task] = lane
        self._last[lane] = task
        task.add_done_callback(self._end)

    async def _do(self, lane: Hashable, batches: Sequence[Batch], before: asyncio.Task[None] | None) -> None:
        try:
            async with self._reading:  # one after another, so that the first is on its way while the second is read
                read = await self._steps.read(batches)
            if before is not None:
                await asyncio.wait({before})
            if self.lost is None:
                await self._steps.store(lane, batches, read)
        except BaseException as error:
            self.lost = self.lost or repr(error)
            raise

    def _end(self, task: asyncio.Task[None]) -> None:
        lane = self._under_way.pop(task)
        if self._last.get(lane) is task:
            del self._last[lane]
        self._begin()
