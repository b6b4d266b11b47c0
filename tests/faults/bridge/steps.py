"""The moments in the life of a trigger at which a bridge is killed, each held open from outside until it is dead."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sqlalchemy import text

from tests.faults.bridge.parts import Parts, process_at
from tests.support.polling import eventually

# Held once the awaited function returns, until the block ends.
Held = Callable[[], Awaitable[None]]
Step = Callable[[Parts], AbstractAsyncContextManager[Held]]
_PATIENCE_S = 120.0


@asynccontextmanager
async def after_fetch(lab: Parts) -> AsyncIterator[Held]:
    """Records are fetched; the ledger's rows cannot be written, because the table is locked."""
    async with lab.engine.connect() as locking:
        await locking.execute(text("LOCK TABLE bridge_triggers IN SHARE MODE"))

        async def reached() -> None:
            await eventually(lambda: _waits_to_write(lab), within_s=_PATIENCE_S)

        yield reached


@asynccontextmanager
async def after_ledger(lab: Parts) -> AsyncIterator[Held]:
    """The rows are written; Prefect has not been given the request."""
    async with lab.gate.trapped("before") as trap:

        async def reached() -> None:
            await eventually(_is_set(trap.reached.is_set), within_s=_PATIENCE_S)

        yield reached
    # The bridge that asked is dead by now; Prefect may still be given what it asked for.


@asynccontextmanager
async def after_create(lab: Parts) -> AsyncIterator[Held]:
    """Prefect has created the runs; the bridge has not been told."""
    async with lab.gate.trapped("after") as trap:

        async def reached() -> None:
            await eventually(_is_set(trap.reached.is_set), within_s=_PATIENCE_S)

        yield reached


@asynccontextmanager
async def before_commit(lab: Parts) -> AsyncIterator[Held]:
    """The bridge has noted the runs; the broker, which is stopped, cannot take its offsets."""
    broker = process_at(lab.kafka)
    async with lab.gate.trapped("after") as trap:

        async def reached() -> None:
            await eventually(_is_set(trap.reached.is_set), within_s=_PATIENCE_S)
            before = await _settled(lab)
            os.kill(broker, signal.SIGSTOP)
            trap.let_go.set()
            await eventually(lambda: _settled(lab), until=lambda now: now > before, within_s=_PATIENCE_S)

        try:
            yield reached
        finally:
            os.kill(broker, signal.SIGCONT)


STEPS: dict[str, Step] = {
    "after fetch": after_fetch,
    "after ledger": after_ledger,
    "after create": after_create,
    "before commit": before_commit,
}


def _is_set(probe: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def answer() -> bool:
        return probe()

    return answer


async def _waits_to_write(lab: Parts) -> int:
    query = text(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'RowExclusiveLock' "
        "AND relation = 'bridge_triggers'::regclass"
    )
    async with lab.engine.connect() as connection:
        return int(await connection.scalar(query) or 0)


async def _settled(lab: Parts) -> int:
    query = text("SELECT count(*) FROM bridge_triggers WHERE status = 'created'")
    async with lab.engine.connect() as connection:
        return int(await connection.scalar(query) or 0)
