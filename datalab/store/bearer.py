"""Who sends a request: bearer tokens, looked up in Postgres and remembered for some seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address

from cachetools import TTLCache
from fastapi.security import HTTPBearer

from datalab.runtime.clock import Clock
from datalab.runtime.web import Problem
from datalab.store.tokens import Token, Tokens

# For this long a token goes on after it was revoked; asking for each request would cost more than most requests.
_REMEMBERED_S = 5.0
_REMEMBERED = 10_000
# Says in the OpenAPI description how a token is sent; it refuses nothing, `Bearers` does.
BEARER = HTTPBearer(
    auto_error=False, description="A token of `datalab tokens create`; needed where others than this machine can ask"
)


class Bearers:
    """Recognises tokens. One that is presented is always checked, also where none is required."""

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens, self._clock = tokens, clock
        self._known: TTLCache[str, Token | None] = TTLCache(_REMEMBERED, _REMEMBERED_S, clock.monotonic)

    async def token(
        self, given: Sequence[str], *, required: bool, before_lookup: Callable[[], None] | None = None
    ) -> Token | None:
        """The valid token in these Authorization headers; None where there is none and none is required. Raises
        Problem 401. `before_lookup` runs before Postgres is asked, and may refuse."""
        if not given:
            if required:
                raise unauthorised("a bearer token is required; `datalab tokens create` makes one")
            return None
        scheme, _, secret = given[0].partition(" ")
        secret = secret.strip()
        if len(given) > 1 or scheme.lower() != "bearer" or not secret:
            raise unauthorised("the Authorization header must be one `Bearer TOKEN`", "invalid_request")
        if secret not in self._known:
            if before_lookup is not None:
                before_lookup()
            self._known[secret] = await self._tokens.find(secret)
        token = self._known.get(secret)
        # Never more about the token than this: what was sent may be a secret of something else.
        fault = "nobody made it" if token is None else token.fault(self._clock.now())
        if fault is not None:
            raise unauthorised(f"the token is not valid: {fault}", "invalid_token")
        return token


def listens_beyond_this_machine(host: str) -> bool:
    """Whether a service that listens at this address can be reached from other machines."""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def unauthorised(detail: str, error: str | None = None) -> Problem:
    """The answer to a request without a valid token."""
    challenge = 'Bearer realm="datalab"' + (f', error="{error}"' if error else "")
    return Problem(401, "Unauthorized", detail, headers={"WWW-Authenticate": challenge})
