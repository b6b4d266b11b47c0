"""Connecting to Postgres, and telling an outage from a fault of ours."""

from __future__ import annotations

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from datalab.runtime.web import Dependency

Sessions = async_sessionmaker[AsyncSession]
_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)


def create_engine(database_url: str, *, pool_size: int = 5) -> AsyncEngine:
    """An engine for `postgresql+asyncpg://…`. Connections are tested before use, since Postgres may restart."""
    # Errors are logged, and parameters hold the addresses and secrets of webhooks.
    return create_async_engine(
        database_url, pool_size=pool_size, max_overflow=5, pool_pre_ping=True, hide_parameters=True
    )


def create_sessions(engine: AsyncEngine) -> Sessions:
    """A session factory; objects stay readable after the commit."""
    return async_sessionmaker(engine, expire_on_commit=False)


def database_is_down(error: BaseException) -> bool:
    """Whether the error says that Postgres is away or restarting, rather than that the statement is wrong."""
    if isinstance(error, InterfaceError | OperationalError):
        return True
    if isinstance(error, DBAPIError):
        origin = getattr(error.orig, "__cause__", None)
        return error.connection_invalidated or isinstance(origin, _AWAY)
    return isinstance(error, (OSError, TimeoutError, *_AWAY))


# What requests need: `create_app(…, needs=POSTGRES)`. SQLAlchemy lets some of asyncpg's errors through.
POSTGRES = Dependency(
    "Postgres", (OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError), database_is_down
)


async def check_database(engine: AsyncEngine) -> str | None:
    """Readiness: None, or raises the reason."""
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    return None
