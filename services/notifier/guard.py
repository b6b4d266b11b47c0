"""The outgoing guard: resolves a name once, refuses addresses inside, and connects to the very address it checked.

It is the resolver of the HTTP client, which connects to what it answers and to nothing else. TLS still checks the
name.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from services.notifier import addresses
from services.notifier.addresses import Address

_PORTS = {"http": 80, "https": 443}
_RESOLVE_S = 5.0
# Such a host is an address and no name, for browsers and systems; all but the usual spelling is refused.
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?|.*:.*")


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
        if (literal := self.check_literal(host, port)) is not None:
            return [literal]  # without a thread: there is nothing to look up
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError:  # an empty label, or one of more than 63 characters
            raise RefusedError("the host is not a name that can be looked up") from None
        resolved = [addresses.parse(str(info[4][0]).partition("%")[0]) for info in found]
        for address in resolved:
            self._refuse(address, host, port)
        return list(dict.fromkeys(resolved))

    def check_literal(self, host: str, port: int) -> Address | None:
        """The address that the host is written as, None if it is a name; raises RefusedError."""
        try:
            address = addresses.parse(host)
        except ValueError:
            if _NUMERIC.fullmatch(host):
                raise RefusedError(f"{host} is an unusual spelling of an address") from None
            return None
        self._refuse(address, host, port)
        return address

    def _refuse(self, address: Address, host: str, port: int) -> None:
        why = addresses.refusal(address)
        if why and (addresses.is_metadata(address) or not self._is_allowed(host, port)):
            raise RefusedError(f"{host}:{port} is {why}; NOTIFIER_ALLOWED_HOSTS can allow a private host")

    def _is_allowed(self, host: str, port: int) -> bool:
        return f"{host.lower()}:{port}" in self._allowed or f"[{host.lower()}]:{port}" in self._allowed


class GuardedResolver(AbstractResolver):
    """Names for aiohttp's connector: it connects to what this answers and to nothing else."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The checked addresses, to be tried in order. aiohttp does TLS on the connection with the name."""
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET6 if address.version == 6 else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._guard.resolve(host, port)
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _split(url: str) -> tuple[SplitResult, int | None]:
    if any(ord(character) < 33 or ord(character) == 127 or character == "\\" for character in url):
        raise RefusedError("the address has blanks, control characters or backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RefusedError("the address is not a URL") from None
    return parts, port
