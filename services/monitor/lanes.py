"""Work on batches: of one partition one after another, of several partitions side by side. Nothing of Kafka here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable


class Lanes:
    """At most so many pieces of work at once. One that fails is the last to begin: what comes after a batch that was
    not stored must not be stored either."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way = set[asyncio.Task[None]]()
        self._last: dict[Hashable, asyncio.Task[None]] = {}
        self.lost: str | None = None  # why a piece of work was not done

    async def add(self, lane: Hashable, work: Callable[[], Awaitable[None]]) -> None:
        """Let it begin once all that was added to its lane is done. Returns at once, or when there is room."""
        while len(self._under_way) >= self._most:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(self._do(self._last.get(lane), work), name=f"store {lane}")
        self._under_way.add(task)
        self._last[lane] = task
        task.add_done_callback(lambda done: self._forget(lane, done))

    def cancel(self) -> None:
        """End what is under way; what was not done is lost."""
        for task in self._under_way:
            task.cancel()

    async def _do(self, before: asyncio.Task[None] | None, work: Callable[[], Awaitable[None]]) -> None:
        try:
            if before is not None:
                await asyncio.wait({before})
            if self.lost is None:
                await work()
        except BaseException as error:
            self.lost = self.lost or repr(error)
            raise

    def _forget(self, lane: Hashable, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._last.get(lane) is task:
            del self._last[lane]
