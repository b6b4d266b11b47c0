"""Who may ask and who may change, and the note of every change. Every router of the notifier stands behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request

from datalab.runtime.web import Problem
from datalab.store.bearer import Bearers
from datalab.store.tokens import Token
from services.notifier.audit import Audit

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Gate:
    """Lets requests in. A token that is presented is always checked, also where none is required."""

    def __init__(self, bearers: Bearers, audit: Audit, *, to_read: bool, to_write: bool) -> None:
        """`to_read`, `to_write`: whether that needs a token."""
        self._bearers, self._audit, self._to_read, self._to_write = bearers, audit, to_read, to_write

    async def admit(self, request: Request) -> AsyncIterator[None]:
        """For `Depends`. Raises Problem 401 or 403."""
        reading = request.method in _READING
        required = self._to_read if reading else self._to_write
        token = await self._bearers.token(request.headers.getlist("authorization"), required=required)
        what = "read" if reading else "write"
        if token is not None and not token.may_notifier(what):
            raise Problem(403, "Forbidden", f"the token {token.name} has no scope notifier:{what}")
        if reading:
            yield
            return
        entry = await self._audit.begin(_who(token, request), request.method, request.url.path[:300])
        try:
            yield
        except Problem as error:
            await self._audit.end(entry, f"{error.status} {error.title}")
            raise
        except Exception as error:
            await self._audit.end(entry, type(error).__name__)
            raise
        await self._audit.end(entry, "done")


def _who(token: Token | None, request: Request) -> str:
    if token is not None:
        return f"token:{token.name}"
    return f"client:{request.client.host if request.client else 'unknown'}"
