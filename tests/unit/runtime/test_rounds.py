"""Work at an even pace: it goes on after a failure, waits where it must, and ends when told."""

from __future__ import annotations

import asyncio

from datalab.runtime.rounds import Rounds
from tests.support.polling import eventually


async def test_a_step_that_fails_holds_up_neither_the_others_nor_the_next_round() -> None:
    done = 0

    async def fails() -> None:
        raise ConnectionError

    async def works() -> None:
        nonlocal done
        done += 1

    async def count() -> int:
        return done

    stop = asyncio.Event()
    running = asyncio.create_task(Rounds("test", 0.001, fails, works).run(stop))
    await eventually(count, until=lambda n: n >= 3)
    stop.set()
    await asyncio.wait_for(running, 30)


async def test_nothing_begins_before_it_may() -> None:
    may, done = False, asyncio.Event()

    async def works() -> None:
        assert may
        done.set()

    stop = asyncio.Event()
    asked = asyncio.Event()

    def may_begin() -> bool:
        asked.set()
        return may

    running = asyncio.create_task(Rounds("test", 0.001, works, may_begin=may_begin).run(stop))
    await asyncio.wait_for(asked.wait(), 30)
    assert not done.is_set()
    may = True
    await asyncio.wait_for(done.wait(), 30)
    stop.set()
    await asyncio.wait_for(running, 30)


async def test_a_step_that_hangs_is_given_up_when_told_to_stop() -> None:
    began = asyncio.Event()

    async def hangs() -> None:
        began.set()
        await asyncio.Event().wait()

    stop = asyncio.Event()
    running = asyncio.create_task(Rounds("test", 0.001, hangs).run(stop))
    await asyncio.wait_for(began.wait(), 30)
    stop.set()
    await asyncio.wait_for(running, 30)
