"""A port in front of a server that can be shut, or fall silent: outages without touching the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.processes import free_port


class Door:
    """Leads to the server while it is open, refuses connections while it is closed, and swallows while it is hushed:
    connections are taken, old ones and new ones, and nothing comes back."""

    def __init__(self, host: str, port: int) -> None:
        # Not one of those that outgoing connections are given: it has to be free again after an outage.
        self._target, self.port = (host, port), free_port()
        self._server: asyncio.Server | None = None
        self._speaking = asyncio.Event()

    async def open(self) -> None:
        """Let through, on the same port as before."""
        self._speaking.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._through, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Refuse connections. Those that are open stay so."""
        self._speaking.set()
        if self._server is not None:
            self._server.close()
            self._server = None

    def hush(self) -> None:
        """Let nothing through until `open`."""
        self._speaking.clear()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                await self._speaking.wait()
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def door_to(host: str, port: int) -> AsyncIterator[Door]:
    """An open door to that server, closed in the end."""
    door = Door(host, port)
    await door.open()
    try:
        yield door
    finally:
        await door.close()
