"""Asking an endpoint whether it wants our deliveries, so that nobody can register somebody else's URL.

First by the handshake of CloudEvents' webhook specification (OPTIONS, `WebHook-Request-Origin`), by which an endpoint
may also say how many requests a minute it takes (`WebHook-Allowed-Rate`). One that does not know it may repeat a
challenge instead: a POST whose answer must hold the text that it was sent.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass
from typing import Literal

from services.notifier.outgoing import Answer, Outgoing, UnreachableError

_DEADLINE_S = 10.0
_FASTEST_PER_MIN = 1_000_000
CHALLENGE_TYPE = "lab.subscription.challenge.v1"


@dataclass(frozen=True)
class Asked:
    """What the endpoint said. `how` it agreed; else None, and why not. `per_min`: how many requests a minute it allows;
    None: as many as there are."""

    how: Literal["handshake", "challenge"] | None
    reason: str | None = None
    per_min: int | None = None


class Consent:
    """Asks. `origin` is the name that this lab goes by, which an endpoint may allow by name or by `*`."""

    def __init__(self, outgoing: Outgoing, origin: str) -> None:
        self._outgoing, self._origin = outgoing, origin

    async def ask(self, url: str) -> Asked:
        """Ask once, in both ways. Raises RefusedError for an address that must not be called."""
        try:
            async with asyncio.timeout(_DEADLINE_S):
                answer = await self._handshake(url)
                if self._allows(answer):
                    return _at_its_rate(answer.header("WebHook-Allowed-Rate").strip())
                return await self._challenge(url)
        except TimeoutError:
            return Asked(None, f"the endpoint did not answer within {_DEADLINE_S:g} s")
        except UnreachableError as error:
            return Asked(None, str(error))

    async def _handshake(self, url: str) -> Answer:
        return await self._outgoing.ask("OPTIONS", url, b"", {"WebHook-Request-Origin": self._origin})

    def _allows(self, answer: Answer) -> bool:
        """Whether the origin is among those that the answer names."""
        named = {origin.strip().lower() for origin in answer.header("WebHook-Allowed-Origin").split(",")}
        return 200 <= answer.status < 300 and bool({"*", self._origin.lower()} & named)

    async def _challenge(self, url: str) -> Asked:
        text = secrets.token_urlsafe(24)
        body = json.dumps({"type": CHALLENGE_TYPE, "challenge": text}).encode()
        answer = await self._outgoing.ask("POST", url, body, {"Content-Type": "application/json"})
        if 200 <= answer.status < 300 and text in answer.text:
            return Asked("challenge")
        return Asked(
            None,
            f"OPTIONS was not answered with WebHook-Allowed-Origin: {self._origin} (or *), and POST (HTTP "
            f"{answer.status}) not with the challenge",
        )


def _at_its_rate(allowed: str) -> Asked:
    """What the header says is kept, `*` and an absent one leave the rate to us; what cannot be read is no consent,
    since the endpoint wanted a limit."""
    if allowed in ("", "*"):
        return Asked("handshake")
    if allowed.isascii() and allowed.isdecimal() and int(allowed[:9]) > 0:
        return Asked("handshake", per_min=min(int(allowed[:9]), _FASTEST_PER_MIN))
    return Asked(None, "WebHook-Allowed-Rate must be * or a whole number of requests a minute, at least 1")
