"""Asynchronous work for callers without an event loop, and for those that have one already."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AbstractAsyncContextManager, ExitStack

import pytest

from datalab.bus.loop_thread import LoopThread, run_apart


async def thread_name() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


def test_work_runs_in_the_loop_thread_and_gives_its_result_or_error() -> None:
    async def fails() -> None:
        raise ValueError("as it is")

    assert run_apart(thread_name(), "apart") == "apart"
    with pytest.raises(ValueError, match="as it is"):
        run_apart(fails())


async def test_it_works_below_a_running_loop() -> None:
    assert run_apart(thread_name(), "apart") == "apart"


def test_the_thread_ends_with_the_context() -> None:
    with LoopThread("apart") as loop:
        assert loop.run(thread_name()) == "apart"
    assert "apart" not in {thread.name for thread in threading.enumerate()}


def test_what_was_entered_is_left_in_the_same_loop_in_reverse() -> None:
    seen: list[str] = []

    class Part(AbstractAsyncContextManager["Part"]):
        def __init__(self, name: str) -> None:
            self.name, self.loop = name, None

        async def __aenter__(self) -> Part:
            self.loop = asyncio.get_running_loop()
            return self

        async def __aexit__(self, *_: object) -> None:
            assert asyncio.get_running_loop() is self.loop
            seen.append(self.name)

    with LoopThread("apart") as loop, ExitStack() as stack:
        assert loop.enter(Part("first"), stack).name == "first"
        loop.enter(Part("second"), stack)
    assert seen == ["second", "first"]
