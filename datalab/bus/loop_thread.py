"""An event loop in a thread of its own: how code without one, such as a flow, uses what is asynchronous here."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, ExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

Entered = TypeVar("Entered")
Result = TypeVar("Result")


class LoopThread:
    """A context manager. Works also where the caller's own thread has a running loop."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run it to its end and return its result, or raise what it raises. Interrupted, it is cancelled first."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def enter(self, resource: AbstractAsyncContextManager[Entered], stack: ExitStack) -> Entered:
        """Enter an async context manager; `stack` leaves it, in this loop."""
        entered = self.run(resource.__aenter__())
        stack.push(lambda *error: self.run(resource.__aexit__(*error)))
        return entered


def run_apart(work: Coroutine[Any, Any, Result], name: str = "bus") -> Result:
    """Run one coroutine in a loop thread that lasts as long as it does."""
    with LoopThread(name) as loop:
        return loop.run(work)
