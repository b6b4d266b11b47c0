"""Which of the bridge's instances relays: the one that holds a lock of Postgres, while its connection lives."""

from __future__ import annotations

import contextlib

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_LOCK = 4_711_202_612  # any number, as long as nothing else takes it


class Leadership:
    """Kept once it is won, so that what the leader remembers stays of use."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._connection: AsyncConnection | None = None

    async def held(self) -> bool:
        """Whether this instance leads now; tries to, if it does not. Raises what Postgres raises while it is away, and
        then the lead is lost."""
        if self._connection is not None:
            try:
                await self._connection.execute(text("SELECT 1"))
            except BaseException:
                await self.give_up()
                raise
            return True
        connection = await self._engine.connect()
        try:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            if await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}):
                self._connection = connection
        finally:
            if self._connection is None:
                await connection.close()
        return self._connection is not None

    async def give_up(self) -> None:
        """Let another instance lead."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # Ends the session, and with it the lock: in the pool the connection would keep it.
            with contextlib.suppress(Exception):
                await connection.invalidate()
            with contextlib.suppress(Exception):
                await connection.close()
