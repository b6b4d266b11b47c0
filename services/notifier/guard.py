"""The outgoing guard: resolves a name once, refuses addresses inside, and connects to the very address it checked.

It is the network backend of the HTTP client, so nothing can be sent around it. TLS still checks the name.
"""

from __future__ import annotations

import asyncio
import socket
import typing
from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

import httpcore

from services.notifier import addresses
from services.notifier.addresses import Address

_PORTS = {"http": 80, "https": 443}
_RESOLVE_S = 5.0


class RefusedError(Exception):
    """The address must not be called. The message names the host at most, never the path or credentials."""


def shown(url: str) -> str:
    """What may be shown of a secret address: scheme and host."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(not a URL)"
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else "(not a URL)"


class Guard:
    """Decides whom the notifier may call. `allowed` holds `host:port` entries for private installs."""

    def __init__(self, allowed: Collection[str] = ()) -> None:
        self._allowed = frozenset(entry.lower() for entry in allowed)

    def check_form(self, url: str) -> SplitResult:
        """The parts of an acceptable URL; raises RefusedError. Resolves nothing."""
        parts, port = _split(url)
        if parts.scheme not in _PORTS:
            raise RefusedError("only http and https addresses are called")
        if not parts.hostname:
            raise RefusedError("the address has no host")
        if parts.username is not None or parts.password is not None:
            raise RefusedError("an address with user or password is not accepted")
        port = port or _PORTS[parts.scheme]
        if parts.scheme == "http" and not self._is_allowed(parts.hostname, port):
            raise RefusedError(f"plain http is not allowed to {parts.hostname}:{port}; use https")
        return parts

    async def check(self, url: str) -> None:
        """Raises RefusedError if the URL must not be called as its name resolves now, OSError if it does not."""
        parts = self.check_form(url)
        async with asyncio.timeout(_RESOLVE_S):
            await self.resolve(str(parts.hostname), parts.port or _PORTS[parts.scheme])

    async def resolve(self, host: str, port: int) -> list[Address]:
        """The addresses that may be connected to; raises RefusedError if any answer is refused, OSError if none."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError:  # an empty label, or one of more than 63 characters
            raise RefusedError("the host is not a name that can be looked up") from None
        resolved = [addresses.parse(str(info[4][0]).partition("%")[0]) for info in found]
        allowed = self._is_allowed(host, port)
        for address in resolved:
            if (why := addresses.refusal(address)) and (not allowed or addresses.is_metadata(address)):
                raise RefusedError(f"{host}:{port} is {why}; NOTIFIER_ALLOWED_HOSTS can allow a private host")
        return list(dict.fromkeys(resolved))

    def _is_allowed(self, host: str, port: int) -> bool:
        return f"{host.lower()}:{port}" in self._allowed or f"[{host.lower()}]:{port}" in self._allowed


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections for httpcore, to checked addresses only."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: typing.Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to one of the checked addresses, tried in order. httpcore does TLS on it with the name."""
        try:
            resolved = await self._guard.resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"the name does not resolve ({error.strerror or 'no answer'})") from error
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in resolved:
            try:
                return await self._inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def _split(url: str) -> tuple[SplitResult, int | None]:
    if any(ord(character) < 33 or ord(character) == 127 or character == "\\" for character in url):
        raise RefusedError("the address has blanks, control characters or backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RefusedError("the address is not a URL") from None
    return parts, port
