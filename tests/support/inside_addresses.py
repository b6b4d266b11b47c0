"""Addresses inside, in every spelling that some parser somewhere takes for one; names that move inside; and a trap that
tells whether anybody was led there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from unittest import mock

# Loopback, metadata services, and networks that are nobody's business from outside.
INSIDE = (
    "127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "127.255.255.254", "2130706433", "017700000001", "0x7f000001",
    "0x7f.0.0.1", "0x7f.1", "0177.0.0.1", "0177.0.0.01", "127.0.0.0x1", "0", "0.0.0.0", "00.00.00.00",
    "127.000.000.001", "[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]", "[fe80::1%25lo]", "[fe80::1%lo]", "[::1%25lo]", "localhost", "LOCALHOST", "localhost.",
    "loc\u0430lhost", "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",
    "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "127\uff0e0\uff0e0\uff0e1", "\u2460\u2461\u2466.0.0.1",
    "%31%32%37.0.0.1", "127%2e0%2e0%2e1", "127.0.0.1%00", "127.0.0.1%2f", "127.0.0.1%20", "127.0.0.1#", "127.0.0.1\t",
    "169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376",
    "user@127.0.0.1", "example.com@127.0.0.1", "127.0.0.1\\@example.com", "example.com\\@127.0.0.1",
    "[::1].example", "[127.0.0.1]", "127.0.0.1:80:80",
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "100.100.100.200", "198.18.0.1", "192.0.0.192",
    "168.63.129.16", "224.0.0.1", "255.255.255.255", "[fc00::1]", "[fe80::1]", "[ff02::1]", "[fec0::1]",
    "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "[2001:0:7f00:1::]",
)  # fmt: skip
# Where a name points the second time that it is asked for.
MOVES_TO = (
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "fd00::1",
    "64:ff9b::7f00:1",
)
# What the notifier says of them; nothing but a name that does not exist may get as far as a name server.
REFUSALS = ("refused: ", "connection failed: the name does not resolve")


@asynccontextmanager
async def trap() -> AsyncIterator[tuple[int, list[Any]]]:
    """A server on every address of this machine: its port, and who came."""
    seen: list[Any] = []

    def come(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(come, None, 0)
    try:
        yield server.sockets[0].getsockname()[1], seen
    finally:
        server.close()


@contextmanager
def names_that_move(*addresses: str) -> Iterator[list[str]]:
    """Each question for a name is answered with the next of these; yields those that are left."""
    left = list(addresses)

    async def getaddrinfo(_loop: Any, _host: str, port: int, **_more: Any) -> list[Any]:
        family = socket.AF_INET6 if ":" in left[0] else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (left.pop(0), port))]

    with mock.patch.object(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo):
        yield left
