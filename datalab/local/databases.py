"""Asking a PostgreSQL server whether it answers, and creating databases on it. No tables: those are migrations."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import asyncpg


def with_database(url: str, name: str) -> str:
    """The same server and login, another database."""
    return urlsplit(url)._replace(path=f"/{quote(name)}").geturl()


def database_of(url: str) -> str:
    """The name of the database in a URL."""
    return unquote(urlsplit(url).path.lstrip("/"))


def sibling(url: str, name: str) -> str:
    """The URL of the database another program uses beside ours: `prefect`, or `X_prefect` beside a database X."""
    own = database_of(url)
    return with_database(url, name if own == "datalab" else f"{own}_{name}")


async def answers(url: str, seconds: float = 5.0) -> str | None:
    """None if the server of the URL answers a query, else the reason, without the address."""
    try:
        connection = await _connect(url, "postgres", seconds)
        try:
            await connection.fetchval("SELECT 1", timeout=seconds)
        finally:
            await connection.close(timeout=seconds)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        return type(error).__name__
    return None


async def create_missing(url: str, names: list[str]) -> list[str]:
    """Create those databases that the server lacks; returns them. Safe to run twice at once."""
    connection = await _connect(url, "postgres", 10)
    try:
        present = {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
        missing = [name for name in names if name not in present]
        for name in missing:
            quoted = name.replace('"', '""')
            try:
                await connection.execute(f'CREATE DATABASE "{quoted}"')
            except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                continue
        return missing
    finally:
        await connection.close()


async def _connect(url: str, database: str, seconds: float) -> Any:
    """Connect to `database` of the server, or to the URL's own one where that is closed to this login."""
    arguments = _arguments(url)
    try:
        return await asyncpg.connect(**{**arguments, "database": database}, timeout=seconds)
    except (
        asyncpg.InvalidCatalogNameError,
        asyncpg.InsufficientPrivilegeError,
        asyncpg.InvalidAuthorizationSpecificationError,
    ):
        return await asyncpg.connect(**arguments, timeout=seconds)


def _arguments(url: str) -> dict[str, Any]:
    # The query carries asyncpg's own arguments, as SQLAlchemy passes them on.
    parts = urlsplit(url)
    found: dict[str, Any] = {
        "host": parts.hostname,
        "port": parts.port,
        "database": database_of(url),
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
    }
    query: dict[str, Any] = dict(parse_qsl(parts.query))
    if "port" in query:
        query["port"] = int(query["port"])
    return {key: value for key, value in {**found, **query}.items() if value is not None}
