"""Batches that are about the same trouble take turns, in the order in which they came; all others go side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from typing import NamedTuple


class _Turn(NamedTuple):
    well: Set[str]
    bad: Set[str]
    over: asyncio.Event

    def meets(self, other: _Turn) -> bool:
        """Whether one decides about what the other touches. That both find a thing well is no matter."""
        return not (
            self.bad.isdisjoint(other.bad) and self.bad.isdisjoint(other.well) and self.well.isdisjoint(other.bad)
        )


class Turns:
    """Of one process. Between processes it is the row locks that make decisions take turns; here, too, but two batches
    that each raise what the other ends would find no row to lock, and each wait for the other's."""

    def __init__(self) -> None:
        self._under_way: list[_Turn] = []

    @asynccontextmanager
    async def of(self, well: Set[str], bad: Set[str]) -> AsyncIterator[None]:
        """Waits until none that came before is about the same: `bad` are fingerprints of troubles to decide about,
        `well` of those that are only remembered to be well. It waits for earlier ones alone, so none for ever."""
        mine = _Turn(well, bad, asyncio.Event())
        before = [turn for turn in self._under_way if turn.meets(mine)]
        self._under_way.append(mine)
        try:
            for turn in before:
                await turn.over.wait()
            yield
        finally:
            self._under_way.remove(mine)
            mine.over.set()
