"""Who sends a request, what it may, and how much of it: tokens and rates together."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from datalab.runtime.clock import Clock
from datalab.store.bearer import Bearers
from datalab.store.tokens import Token, Tokens
from services.ingest.rates import Rates


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
        self._bearers, self._rates, self._required = Bearers(tokens, clock), rates, required

    async def admit(self, request: Request) -> Sender:
        """The sender, having paid for one event. Raises Problem 401 or 429."""
        sender = await self._sender(request)
        self._rates.pay(_payer(sender, request), 1)
        return sender

    def charge(self, sender: Sender, request: Request, events: int) -> None:
        """Let the sender pay for the events of its batch beyond the first. Raises Problem 429."""
        self._rates.pay(_payer(sender, request), max(0, events - 1))

    async def _sender(self, request: Request) -> Sender:
        def pay() -> None:
            # Guesses cost the guesser's own share, so that they cannot wear out Postgres.
            self._rates.pay(_address(request), 1)

        given = request.headers.getlist("authorization")
        token = await self._bearers.token(given, required=self._required, before_lookup=pay)
        return Sender("anonymous") if token is None else Sender(f"token:{token.id}", token)


def _payer(sender: Sender, request: Request) -> str:
    return sender.name if sender.token is not None else _address(request)


def _address(request: Request) -> str:
    return f"client:{request.client.host if request.client else 'unknown'}"
