"""Who sends a request, and what it may: bearer tokens, looked up in Postgres and remembered for some seconds."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from cachetools import TTLCache
from starlette.requests import Request

from datalab.runtime.clock import Clock
from datalab.runtime.web import Problem
from datalab.store.tokens import Token, Tokens
from services.ingest.rates import Rates

# For this long a token goes on after it was revoked; asking for each request would cost more than publishing.
_REMEMBERED_S = 5.0
_REMEMBERED = 10_000


@dataclass(frozen=True)
class Sender:
    """Who is answered. `name` scopes what is remembered for it; without a token everything is allowed."""

    name: str
    token: Token | None = None

    def may_publish(self, type_: str, topic: str) -> bool:
        """Whether it may publish events of this type, which go to this topic."""
        return self.token is None or self.token.may_publish(type_, topic)

    def may_register(self, type_: str) -> bool:
        """Whether it may register schemas of this type."""
        return self.token is None or self.token.may_register(type_)


class Gate:
    """Lets requests in. A token that is presented is always checked, also where none is required."""

    def __init__(self, tokens: Tokens, rates: Rates, clock: Clock, *, required: bool) -> None:
        self._tokens, self._rates, self._clock, self._required = tokens, rates, clock, required
        self._known: TTLCache[str, Token | None] = TTLCache(_REMEMBERED, _REMEMBERED_S, clock.monotonic)

    async def admit(self, request: Request) -> Sender:
        """The sender, having paid for one event. Raises Problem 401 or 429."""
        sender = await self._sender(request)
        self._rates.pay(_payer(sender, request), 1)
        return sender

    def charge(self, sender: Sender, request: Request, events: int) -> None:
        """Let the sender pay for the events of its batch beyond the first. Raises Problem 429."""
        self._rates.pay(_payer(sender, request), max(0, events - 1))

    async def _sender(self, request: Request) -> Sender:
        given = request.headers.getlist("authorization")
        if not given:
            if self._required:
                raise _unauthorised("a bearer token is required; `datalab tokens create` makes one")
            return Sender("anonymous")
        scheme, _, secret = given[0].partition(" ")
        if len(given) > 1 or scheme.lower() != "bearer" or not secret.strip():
            raise _unauthorised("the Authorization header must be one `Bearer TOKEN`", "invalid_request")
        token = await self._find(secret.strip(), request)
        # Never more about the token than this: what was sent may be a secret of something else.
        fault = "nobody made it" if token is None else token.fault(self._clock.now())
        if token is None or fault is not None:
            raise _unauthorised(f"the token is not valid: {fault}", "invalid_token")
        return Sender(f"token:{token.id}", token)

    async def _find(self, secret: str, request: Request) -> Token | None:
        if secret not in self._known:
            # Guesses cost the guesser's own share, so that they cannot wear out Postgres.
            self._rates.pay(_address(request), 1)
            self._known[secret] = await self._tokens.find(secret)
        return self._known.get(secret)


def listens_beyond_this_machine(host: str) -> bool:
    """Whether a service that listens at this address can be reached from other machines."""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _payer(sender: Sender, request: Request) -> str:
    return sender.name if sender.token is not None else _address(request)


def _address(request: Request) -> str:
    return f"client:{request.client.host if request.client else 'unknown'}"


def _unauthorised(detail: str, error: str | None = None) -> Problem:
    challenge = 'Bearer realm="datalab"' + (f', error="{error}"' if error else "")
    return Problem(401, "Unauthorized", detail, headers={"WWW-Authenticate": challenge})
