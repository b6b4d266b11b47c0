"""Waiting for a condition, with a deadline: what integration tests do in place of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

Value = TypeVar("Value")


async def eventually(
    probe: Callable[[], Awaitable[Value]], *, until: Callable[[Value], bool] = bool, within_s: float = 60.0
) -> Value:
    """Call `probe` until its answer satisfies `until`; fails with the last answer when the time is over.

    The time only bounds a hang; what has to be quick is measured by itself.
    """
    deadline = time.monotonic() + within_s
    while True:
        value = await probe()
        if until(value):
            return value
        assert time.monotonic() < deadline, f"not so within {within_s:g} s; the last answer was {value!r}"
        await asyncio.sleep(0.05)


def wait_for(probe: Callable[[], Any], within_s: float = 60.0, what: str = "") -> Any:
    """The same for tests without an event loop: the first true answer of `probe`."""
    deadline = time.monotonic() + within_s
    while not (answer := probe()):
        assert time.monotonic() < deadline, (
            f"not so within {within_s:g} s: {what or probe}; the last answer: {answer!r}"
        )
        time.sleep(0.05)
    return answer
