"""The zygotes of a worker: one for each directory of flows, replaced when it has died or its files have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from datalab.worker.protocol import Warmth
from datalab.worker.warm_parent import ColdError, WarmParent

_ATTEMPTS = 10


@dataclass
class _Place:
    """What is known of a directory. `banned` are imports that make forking unsafe, or kill the importer."""

    entrypoints: set[str] = field(default_factory=set)
    banned: set[str] = field(default_factory=set)
    parent: WarmParent | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class WarmParents:
    """`say` takes one line for the worker's log."""

    def __init__(
        self,
        environment: Mapping[str, str],
        modules: tuple[str, ...],
        *,
        import_s: float,
        say: Callable[[str], None],
        preload: bool = True,
    ) -> None:
        self._environment, self._modules = environment, modules
        self._import_s, self._say, self._preload = import_s, say, preload
        self._places: dict[str, _Place] = {}
        self._all: list[WarmParent] = []  # those that were replaced too, until their last child has ended

    def pids(self) -> set[int]:
        """The processes of all zygotes that live."""
        self._all = [parent for parent in self._all if parent.alive]
        return {parent.pid for parent in self._all}

    def expect(self, directory: str, entrypoint: str) -> None:
        """Have the next zygote of that directory import this entrypoint."""
        self._places.setdefault(directory, _Place()).entrypoints.add(entrypoint)

    async def warm_up(self) -> None:
        """Start the zygotes of all expected directories, so that the first runs need not wait for them."""
        for directory in list(self._places):
            try:
                await self.get(directory)
            except ColdError as error:
                self._say(f"no warm parent for {directory}: {error}")

    async def get(self, directory: str, entrypoint: str | None = None) -> WarmParent:
        """A living zygote that knows the present files and the entrypoint; raises ColdError if none can be started."""
        place = self._places.setdefault(directory, _Place())
        async with place.lock:
            parent = place.parent
            if parent is not None and not parent.alive:
                self._say(f"the warm parent of {directory} (process {parent.pid}) is gone; starting another")
                parent = place.parent = None
            if parent is not None and (file := parent.stale()) is not None:
                self._say(f"{file} has changed; replacing the warm parent of {directory}")
                place.banned.clear()
                parent.leave()
                parent = None
            if entrypoint is not None and self._preload:
                place.entrypoints.add(entrypoint)
            if parent is None:
                parent = place.parent = await self._start(directory, place)
            elif not place.entrypoints - place.banned <= set(parent.warmth.entrypoints):
                parent.leave()
                parent = place.parent = await self._start(directory, place)
        return parent

    async def _start(self, directory: str, place: _Place) -> WarmParent:
        for _ in range(_ATTEMPTS):
            warmth = Warmth()
            if self._preload:
                warmth = Warmth(
                    tuple(name for name in self._modules if name not in place.banned),
                    tuple(sorted(place.entrypoints - place.banned)),
                )
            try:
                parent = await WarmParent.start(directory, self._environment, warmth, within_s=self._import_s)
            except ColdError as error:
                if error.blame not in (*warmth.modules, *warmth.entrypoints):
                    raise
                self._say(f"will not be imported ahead: {error}")
                place.banned.add(error.blame)
                continue
            self._all.append(parent)
            for name, trouble in parent.troubles.items():
                self._say(f"could not be imported ahead: {name}: {trouble}")
            self._say(f"warm parent of {directory} is process {parent.pid}, {len(warmth.entrypoints)} flows imported")
            return parent
        raise ColdError("", f"no warm parent for {directory} after {_ATTEMPTS} attempts")

    def close(self) -> None:
        """Let all go; they end after their last children."""
        for place in self._places.values():
            if place.parent is not None:
                place.parent.leave()
