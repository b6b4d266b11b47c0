"""HTTP to receivers: one POST, no redirects, no proxies, no cookies; bounded in time and in what is read back."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp
from yarl import URL

from datalab.runtime.clock import Clock
from services.notifier.delivery import Result
from services.notifier.guard import Guard, GuardedResolver, RefusedError
from services.notifier.retries import judge

_READ_AT_MOST = 4096
_READ_S = 2.0
_SHOWN_AT_MOST = 200
_KEPT_AT_MOST = 1000
_IDLE_S = 30.0
_URLS_REMEMBERED = 4096
_NETWORK_FAULTS = (aiohttp.ClientError, ConnectionError)


class UnreachableError(Exception):
    """The receiver gave no answer. The message says what went wrong on the way, and not where."""


class Answer(NamedTuple):
    """Status, headers and the beginning of the body as one line of text."""

    status: int
    headers: Mapping[str, str]
    text: str

    def header(self, name: str) -> str:
        """The header of this name, empty if there is none."""
        return self.headers.get(name, "")


class Outgoing:
    """The notifier's only HTTP client; an async context manager."""

    def __init__(self, guard: Guard, clock: Clock) -> None:
        self._guard, self._clock = guard, clock
        self._session: aiohttp.ClientSession | None = None
        # What is judged there follows from the URL alone; names are looked up anew for each connection.
        self._target = lru_cache(_URLS_REMEMBERED)(self._read)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(self._guard),
            use_dns_cache=False,  # each new connection looks its name up, and checks it
            limit=0,  # the sender has its places, each target its share of them
            keepalive_timeout=_IDLE_S,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,  # a small body may unpack to a large one
            read_bufsize=_READ_AT_MOST,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the caller's deadline is for all of it
            headers={"User-Agent": "DataFlow-Lab-Notifier/1"},
            skip_auto_headers=("Accept", "Accept-Encoding"),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Result:
        """POST once and judge the answer. Network faults are results too; their reasons never show the address."""
        try:
            answer = await self.ask("POST", url, body, headers)
        except RefusedError as error:
            return Result(False, f"refused: {error}", permanent=True)
        except UnreachableError as error:
            return Result(False, str(error))
        retry_after = answer.header("Retry-After") or None
        result = judge(answer.status, retry_after=retry_after, text=answer.text[:_SHOWN_AT_MOST], now=self._clock.now())
        return replace(result, answer=answer.text or None)

    async def ask(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send once; raises RefusedError for an address that must not be called, UnreachableError for faults of the
        network, whose messages never show the address."""
        if self._session is None:
            raise RuntimeError("the client is not open; use it as `async with Outgoing(…)`")
        target = self._target(url)
        try:
            async with self._session.request(
                method, target, data=body, headers=headers, allow_redirects=False
            ) as response:
                received = await _beginning(response)
                text = redacted(_one_line(received), url) if received else ""
                return Answer(response.status, response.headers, text)
        except _NETWORK_FAULTS as error:
            raise UnreachableError(_fault(error)) from None

    def _read(self, url: str) -> URL:
        """The URL as the client reads it, so that what is checked and what is called cannot differ."""
        self._guard.check_form(url)
        try:
            target = URL(url)
        except ValueError:
            raise RefusedError("the address is not a URL") from None
        self._guard.check_literal(target.raw_host or "", target.port or 0)
        return target


def redacted(text: str, url: str) -> str:
    """The text without what makes the address secret: its path, query and their longer parts."""
    parts = URL(url)
    pieces = {url, parts.raw_path_qs, parts.path, *re.split(r"[/?&=]", parts.raw_path_qs)}
    for piece in sorted((p for p in pieces if len(p) >= 6), key=len, reverse=True):
        text = text.replace(piece, "***")
    return text[:_KEPT_AT_MOST]


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The first bytes of the body. The status counts, whatever becomes of a body that drips, breaks or never ends."""
    received = b""
    with contextlib.suppress(TimeoutError, *_NETWORK_FAULTS):
        async with asyncio.timeout(_READ_S):
            while len(received) < _READ_AT_MOST and (chunk := await response.content.readany()):
                received += chunk
    return received


def _one_line(body: bytes) -> str:
    text = body[:_READ_AT_MOST].decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _fault(error: Exception) -> str:
    """What went wrong, without what the error says of its own accord: that may hold the address."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return f"connection failed: TLS: {type(error).__name__}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"connection failed: the name does not resolve ({error.strerror or 'no answer'})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"connection failed: {error.strerror or type(error).__name__}"
    return f"connection broke: {type(error).__name__}"
