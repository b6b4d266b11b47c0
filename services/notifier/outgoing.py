"""HTTP to receivers: one POST, no redirects, no proxies, no cookies; bounded in time and in what is read back."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, Self

import httpcore
import httpx

from datalab.runtime.clock import Clock
from services.notifier.delivery import Result
from services.notifier.guard import Guard, GuardedBackend, RefusedError
from services.notifier.retries import judge

_READ_AT_MOST = 4096
_READ_S = 2.0
_SHOWN_AT_MOST = 200
_NETWORK_FAULTS = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)


class Answer(NamedTuple):
    """Status, Retry-After and the beginning of the body as one line of text."""

    status: int
    retry_after: str | None
    text: str


class Outgoing:
    """The notifier's only HTTP client; an async context manager."""

    def __init__(self, guard: Guard, clock: Clock, *, deadline_s: float = 15.0) -> None:
        self._guard, self._clock, self._deadline_s = guard, clock, deadline_s
        self._pool = httpcore.AsyncConnectionPool(
            network_backend=GuardedBackend(guard),
            max_connections=200,
            max_keepalive_connections=50,
            keepalive_expiry=30.0,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.aclose()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Result:
        """POST once and judge the answer. Network faults are results too; their reasons never show the address."""
        try:
            self._guard.check_form(url)
            answer = await self._post(url, body, headers)
        except RefusedError as error:
            return Result(False, f"refused: {error}", permanent=True)
        except _NETWORK_FAULTS as error:
            return Result(False, _fault(error))
        text = redacted(answer.text, url)
        return judge(answer.status, retry_after=answer.retry_after, text=text, now=self._clock.now())

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        parsed = httpx.URL(url)  # for its handling of international names and escapes
        sent = [
            (b"Host", parsed.netloc),
            (b"User-Agent", b"DataFlow-Lab-Notifier/1"),
            (b"Content-Length", str(len(body)).encode()),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ]
        target = httpcore.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path)
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), self._deadline_s)
        async with self._pool.stream(
            "POST", target, headers=sent, content=body, extensions={"timeout": timeout}
        ) as response:
            text = _one_line(await _beginning(response))
            return Answer(response.status, _header(response, b"retry-after"), text)


def redacted(text: str, url: str) -> str:
    """The text without what makes the address secret: its path, query and their longer parts."""
    parts = httpx.URL(url)
    tail = parts.raw_path.decode()
    pieces = {url, tail, parts.path, *re.split(r"[/?&=]", tail)}
    for piece in sorted((p for p in pieces if len(p) >= 6), key=len, reverse=True):
        text = text.replace(piece, "***")
    return text[:_SHOWN_AT_MOST]


async def _beginning(response: httpcore.Response) -> bytes:
    """The first bytes of the body. The status counts, whatever becomes of a body that drips, breaks or never ends."""
    received = b""
    with contextlib.suppress(TimeoutError, *_NETWORK_FAULTS):
        async with asyncio.timeout(_READ_S):
            async for chunk in response.aiter_stream():
                received += chunk
                if len(received) >= _READ_AT_MOST:
                    break
    return received


def _header(response: httpcore.Response, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in response.headers if key.lower() == name), None)


def _one_line(body: bytes) -> str:
    text = body[:_READ_AT_MOST].decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _fault(error: Exception) -> str:
    if isinstance(error, httpcore.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpcore.ConnectError):
        return f"connection failed: {' '.join(str(error).split())[:120]}"
    return f"connection broke: {type(error).__name__}"
