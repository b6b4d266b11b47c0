"""The HTTP client against receivers that misbehave on the wire."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from datalab.runtime.clock import SystemClock
from services.notifier.guard import Guard
from services.notifier.outgoing import Outgoing
from tests.support.inside_addresses import INSIDE, MOVES_TO, REFUSALS, names_that_move, trap

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


def client(allowed: str) -> Outgoing:
    return Outgoing(Guard({allowed}), SystemClock())


@asynccontextmanager
async def server(script: Script) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A socket that reads a request's head and then does as the script says."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], heads
    finally:
        listening.close()


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.3)


async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 1073741824\r\n\r\n")
    for _number in range(16_384):
        writer.write(b"x" * 65_536)
        await writer.drain()


async def lie(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\nshort")
    await writer.drain()


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()


async def rubbish(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n")
    await writer.drain()


async def redirect(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("script", "delivered", "reason", "permanent"),
    [
        (drip, True, None, False),
        (flood, True, None, False),
        (lie, True, None, False),
        (reset, False, "connection broke: ", False),
        (rubbish, False, "connection broke: ", False),
        (redirect, False, "HTTP 302: redirects are not followed", True),
    ],
)
async def test_answers_on_the_wire(script: Script, delivered: bool, reason: str | None, permanent: bool) -> None:
    async with server(script) as (port, _), client(f"127.0.0.1:{port}") as outgoing:
        began = time.monotonic()
        result = await outgoing.post(f"http://127.0.0.1:{port}/planted-secret", b"{}", {})
        assert time.monotonic() - began < 4
    assert (result.delivered, result.permanent) == (delivered, permanent)
    assert (result.reason or "").startswith(reason or "")
    assert "planted-secret" not in str(result)


async def test_nobody_listens() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        async with client(f"127.0.0.1:{port}") as outgoing:
            result = await outgoing.post(f"http://127.0.0.1:{port}/x", b"{}", {})
    assert (result.delivered, result.permanent) == (False, False)
    assert (result.reason or "").startswith("connection failed")


async def test_the_checked_address_is_called_under_the_name_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is resolved once; the request carries the name; the environment's proxies are not used."""
    asked: list[str] = []

    async def getaddrinfo(_loop: Any, host: str, port: int, **_more: Any) -> list[Any]:
        asked.append(host)
        # A name that moves: the second answer would be another machine.
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.99"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()

    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    original = asyncio.BaseEventLoop.getaddrinfo

    async def only_the_name(loop: Any, host: Any, port: Any, **more: Any) -> list[Any]:
        if host == "hook.example":
            return await getaddrinfo(loop, host, port, **more)
        return list(await original(loop, host, port, **more))

    async with server(answer) as (port, heads), client(f"hook.example:{port}") as outgoing:
        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", only_the_name)
        result = await outgoing.post(f"http://hook.example:{port}/x", b"{}", {})
    assert result.delivered
    assert asked == ["hook.example"]
    assert f"Host: hook.example:{port}".encode() in heads[0]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("spelling", INSIDE)
async def test_no_spelling_of_loopback_reaches_it(spelling: str, scheme: str) -> None:
    async with trap() as (port, seen), Outgoing(Guard({"hook.example:443"}), SystemClock()) as outgoing:
        result = await outgoing.post(f"{scheme}://{spelling}:{port}/hook", b"{}", {})
    assert not result.delivered
    assert (result.reason or "").startswith(REFUSALS)
    assert seen == []


@pytest.mark.parametrize("inside", MOVES_TO)
async def test_a_name_that_moves_inside_after_it_was_checked_is_refused(inside: str) -> None:
    """Rebinding: public when the subscription is made, inside when the first delivery is sent."""
    guard = Guard()
    with names_that_move("93.184.216.34", inside) as left:
        await guard.check("https://rebinding.example/hook")
        async with Outgoing(guard, SystemClock()) as outgoing:
            result = await outgoing.post("https://rebinding.example/hook", b"{}", {})
    assert (result.delivered, result.permanent) == (False, True)
    assert (result.reason or "").startswith("refused: rebinding.example:443 is a")
    assert left == []
