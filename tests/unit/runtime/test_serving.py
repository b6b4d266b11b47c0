"""The long-lived parts of a service live and end together."""

from __future__ import annotations

import asyncio

import pytest

from datalab.runtime.serving import run_all


async def until(stop: asyncio.Event) -> None:
    await stop.wait()


async def test_a_stop_ends_all_parts() -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(run_all(stop, until(stop), until(stop)))
    await asyncio.sleep(0)
    stop.set()

    await asyncio.wait_for(running, 30)


async def test_a_part_that_fails_ends_the_others_and_its_error_is_raised() -> None:
    stop = asyncio.Event()

    async def failing() -> None:
        raise OSError("the port is taken")

    with pytest.raises(OSError, match="the port is taken"):
        await asyncio.wait_for(run_all(stop, failing(), until(stop)), 30)
    assert stop.is_set()
