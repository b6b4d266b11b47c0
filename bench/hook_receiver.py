"""A light receiver of webhooks: 200 endpoints on addresses of the loopback network, one port, requests read by hand.

A web framework would cost more processor time than the notifier that is measured. It notes the path, the delivery's id,
the event's id and the time of arrival of each request; `/slow…` answers after 30 s; OPTIONS consents to everything.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, cast

SLOW_S = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WEBHOOK_ID = re.compile(rb"\r\nwebhook-id: *([^\r]+)", re.IGNORECASE)
_KEY = re.compile(rb"\r\nidempotency-key: *([^\r]+)", re.IGNORECASE)
_EVENT_ID = re.compile(rb'"id" ?: ?"([^"]+)"')
_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
_CONSENT = b"HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: *\r\nWebHook-Allowed-Rate: *\r\nContent-Length: 0\r\n\r\n"


class Arrival(NamedTuple):
    """One request; `at` is the wall clock in seconds, `event_id` empty where a message carries none."""

    path: str
    delivery_id: str
    event_id: str
    at: float


@dataclass
class Arrivals:
    """What came, in order, and where to send it."""

    port: int = 0
    all: list[Arrival] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, number: int, path: str = "/hook") -> str:
        """The address of the endpoint of this number (0, 1, …), each with a host of its own."""
        return f"http://{self.host(number)}{path}"

    def host(self, number: int) -> str:
        """Its host and port."""
        return f"127.0.{1 + number // 250}.{1 + number % 250}:{self.port}"

    async def count(self, wanted: int, patience_s: float) -> int:
        """Wait until so many have come, or nothing has come for `patience_s`; returns how many have."""
        while len(self.all) < wanted:
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), patience_s)
            except TimeoutError:
                break
        return len(self.all)


class _Connection(asyncio.Protocol):
    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals, self._received = arrivals, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (head := self._received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._received, 0, head + 2)
            end = head + 4 + (int(length[1]) if length else 0)
            if len(self._received) < end:
                return
            request, self._received = self._received[:end], self._received[end:]
            self._answer(request, head)

    def _answer(self, request: bytes, head: int) -> None:
        method, path, _ = request.split(b" ", 2)
        if method == b"OPTIONS":
            self._write(_CONSENT)
            return
        delivery, event = _WEBHOOK_ID.search(request, 0, head + 2), _EVENT_ID.search(request, head)
        if delivery is None:  # Slack and Teams know no webhook-id, and get no event
            delivery, event = _KEY.search(request, 0, head + 2), None
        if delivery:
            arrival = Arrival(path.decode(), delivery[1].decode(), event[1].decode() if event else "", time.time())
            self._arrivals.all.append(arrival)
            self._arrivals.changed.set()
        if path.startswith(b"/slow"):
            asyncio.get_running_loop().call_later(SLOW_S, self._write, _TAKEN)
        else:
            self._write(_TAKEN)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


@asynccontextmanager
async def receiving() -> AsyncIterator[Arrivals]:
    """The receiver, in this process."""
    arrivals = Arrivals()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(arrivals), "0.0.0.0", 0)
    arrivals.port = server.sockets[0].getsockname()[1]
    try:
        yield arrivals
    finally:
        server.close()
