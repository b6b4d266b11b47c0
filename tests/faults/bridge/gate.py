"""A gate before Prefect: the bridge speaks through it, and it can hold a request before or after Prefect has done it,
or be shut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal

import httpx
from fastapi import FastAPI, Request, Response

from datalab.runtime.serving import serve
from tests.support.processes import free_port

Place = Literal["before", "after"]
_CREATES = "/create_flow_run"


class Trap:
    """Holds each request that creates runs, before or after Prefect has done it, until it is let go."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.reached, self.let_go = asyncio.Event(), asyncio.Event()

    async def hold(self, place: Place) -> None:
        """Wait here if this is the trap's place."""
        if place == self.place:
            self.reached.set()
            await self.let_go.wait()


class Gate:
    """`url` is what the bridge takes for Prefect's API."""

    def __init__(self, prefect_api_url: str) -> None:
        self._port, self._upstream = free_port(), prefect_api_url.rstrip("/").removesuffix("/api")
        self.url = f"http://127.0.0.1:{self._port}/api"
        self._trap: Trap | None = None
        self._client = httpx.AsyncClient(timeout=60, trust_env=False)
        self._open = AsyncExitStack()

    @asynccontextmanager
    async def standing(self) -> AsyncIterator[Gate]:
        """The gate, open until the end of the block."""
        async with self._client:
            await self.open()
            try:
                yield self
            finally:
                await self.shut()

    async def open(self) -> None:
        """Let requests through, from now on."""
        await self._open.enter_async_context(self._serving())

    async def shut(self) -> None:
        """Refuse connections, from now on."""
        await self._open.aclose()

    @asynccontextmanager
    async def trapped(self, place: Place) -> AsyncIterator[Trap]:
        """Hold every request that creates runs, until the end of the block at the latest."""
        trap = self._trap = Trap(place)
        try:
            yield trap
        finally:
            self._trap = None
            trap.let_go.set()

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        app, stop = FastAPI(), asyncio.Event()
        app.add_api_route("/{path:path}", self._pass, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
        task = asyncio.create_task(serve(app, "127.0.0.1", self._port, stop))
        try:
            yield
        finally:
            stop.set()
            await task

    async def _pass(self, request: Request) -> Response:
        # All of it, before it is held: what was sent arrives, also when the sender is dead by then.
        content = await request.body()
        trap = self._trap if _CREATES in request.url.path else None
        if trap is not None:
            await trap.hold("before")
        url = httpx.URL(self._upstream + request.url.path, query=request.url.query.encode())
        headers = {"content-type": request.headers.get("content-type", "application/json")}
        try:
            answer = await self._client.request(request.method, url, content=content, headers=headers)
        except httpx.HTTPError:
            return Response(status_code=502)
        if trap is not None:
            await trap.hold("after")
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))
