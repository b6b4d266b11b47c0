"""Answers on raw sockets, among them everything but what one hopes for."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def head(status: int, *headers: str, length: int = 0) -> bytes:
    """The head of an answer."""
    lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {length}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def status(code: int, *headers: str) -> Answer:
    """Answer with this status."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head(code, *headers))
        await writer.drain()

    return answer


async def later(writer: asyncio.StreamWriter) -> None:
    """429 with a date two to three seconds from now."""
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    writer.write(head(429, f"Retry-After: {at}"))
    await writer.drain()


async def hang(_: asyncio.StreamWriter) -> None:
    """Say nothing until the client gives up."""
    await asyncio.Event().wait()


async def drip(writer: asyncio.StreamWriter) -> None:
    """One byte of the head a second."""
    for byte in head(200):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


async def drip_body(writer: asyncio.StreamWriter) -> None:
    """A whole head, then one byte a second."""
    writer.write(head(200, length=1000))
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(1)


async def reset(writer: asyncio.StreamWriter) -> None:
    """Reset the connection."""
    at_once = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    writer.transport.abort()


async def gigabyte(writer: asyncio.StreamWriter) -> None:
    """A body of 1 GB."""
    writer.write(head(200, length=2**30))
    for _ in range(2**14):
        writer.write(b"x" * 2**16)
        await writer.drain()


async def promise_more(writer: asyncio.StreamWriter) -> None:
    """A body shorter than its head says."""
    writer.write(head(200, length=1000) + b"short")
    await writer.drain()


async def send_more(writer: asyncio.StreamWriter) -> None:
    """A body longer than its head says."""
    writer.write(head(200, length=2) + b"x" * 5000)
    await writer.drain()


async def rubbish(writer: asyncio.StreamWriter) -> None:
    """Something that is not HTTP."""
    writer.write(b"220 mail.example ESMTP\r\n")
    await writer.drain()
