"""Instances that call each other when more is due than one can send, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from datalab.runtime.clock import SystemClock
from datalab.store.engine import create_engine, create_sessions
from services.notifier.calls import Calls
from tests.support.polling import eventually

LISTENING = "FROM pg_stat_activity WHERE query LIKE 'LISTEN%notifier_due%' AND datname = current_database()"


class Instance:
    """One process's worth of calls; `heard` counts those of others."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.calls, self.heard = Calls(create_sessions(engine), SystemClock()), 0

    def answer(self) -> None:
        self.heard += 1


@asynccontextmanager
async def instances(database_url: str) -> AsyncIterator[tuple[AsyncEngine, Instance, Instance]]:
    engine, stop = create_engine(database_url), asyncio.Event()
    pair = Instance(engine), Instance(engine)
    listening = [asyncio.create_task(one.calls.listen(one.answer, stop)) for one in pair]
    try:
        await eventually(lambda: listeners(engine), until=lambda count: count == 2)
        yield engine, *pair
    finally:
        stop.set()
        await asyncio.gather(*listening)
        await engine.dispose()


async def listeners(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text(f"SELECT count(*) {LISTENING}"))).scalar_one())


async def test_a_call_is_heard_by_the_others_and_not_by_oneself(database_url: str) -> None:
    async with instances(database_url) as (_, one, other):

        async def heard() -> int:
            await one.calls.call()
            return other.heard

        await eventually(heard)
        assert one.heard == 0


async def test_calls_are_seldom(database_url: str) -> None:
    async with instances(database_url) as (_, one, other):
        for _number in range(200):
            await one.calls.call()

        async def heard() -> int:
            return other.heard

        assert await eventually(heard) < 20


async def test_a_connection_that_ends_is_replaced(database_url: str) -> None:
    async with instances(database_url) as (engine, one, other):
        async with engine.begin() as connection:
            await connection.execute(text(f"SELECT pg_terminate_backend(pid) {LISTENING}"))

        async def heard() -> int:
            await one.calls.call()
            return other.heard

        await eventually(heard)
