"""Asking a service whether it answers, each by its protocol. A probe returns None for yes, else the reason in a few
words, and may raise what its client raises. Deadlines are the caller's."""

from __future__ import annotations

import asyncio

import httpx

# An HTTP/2 client's first words: the preface and an empty SETTINGS frame (RFC 9113, 3.4).
_HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
_SETTINGS_FRAME = 4


async def http_answers(client: httpx.AsyncClient, url: str) -> str | None:
    """A GET that answers with success. Of a service of ours that is not ready, the checks that fail."""
    answer = await client.get(url)
    if answer.is_success:
        return None
    return f"answers {answer.status_code}{_failed_checks(answer)}"


async def accepts(host: str, port: int) -> str | None:
    """Something listens there. It need not be alive: the kernel accepts for it."""
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    return None


async def speaks_http2(host: str, port: int) -> str | None:
    """A gRPC server says hello, which takes no gRPC library and shows that its process is alive."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_HTTP2_HELLO)
        frame = await reader.readexactly(9)  # a frame's header: length (3), type (1), flags (1), stream (4)
    except asyncio.IncompleteReadError:
        return "closes the connection"
    finally:
        writer.close()
    return None if frame[3] == _SETTINGS_FRAME else "answers, but not in gRPC"


async def database_answers(url: str) -> str | None:
    """Postgres answers a query."""
    from datalab.store.engine import check_database, create_engine

    engine = create_engine(url, pool_size=1)
    try:
        return await check_database(engine)
    finally:
        await engine.dispose()


def _failed_checks(answer: httpx.Response) -> str:
    """`: name: output; …` out of an application/health+json body; nothing if it is none."""
    try:
        checks = answer.json()["checks"]
        failed = [f"{name}: {c['output']}" for name, made in checks.items() for c in made if c["status"] != "pass"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    return f": {'; '.join(failed)}" if failed else ""
