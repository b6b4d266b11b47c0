"""Changes that people make at a service, such as its rules and limits: who may, and a line in the log for each."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Depends, Security, params
from starlette.requests import Request

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.runtime.web import Problem
from datalab.store.bearer import BEARER, Bearers, listens_beyond_this_machine
from datalab.store.engine import Sessions
from datalab.store.tokens import Tokens

log = get_logger(__name__)


def changes_need(
    service: str, host: str, sessions: Sessions, clock: Clock, *, tokens_required: bool | None
) -> Sequence[params.Depends]:
    """The dependencies of each operation of the service that changes something. It needs a token with the scope
    `SERVICE:write` if `tokens_required`, which without a word is where others than this machine can ask; one that is
    presented is always checked."""
    required = listens_beyond_this_machine(host) if tokens_required is None else tokens_required
    bearers = Bearers(Tokens(sessions), clock)

    async def admit(request: Request) -> None:
        token = await bearers.token(request.headers.getlist("authorization"), required=required)
        if token is not None and not token.may_change(service):
            raise Problem(403, "Forbidden", f"the token {token.name} has no scope {service}:write")
        client = request.client.host if request.client else "unknown"
        who = f"token:{token.name}" if token else f"client:{client}"
        log.info("change.asked", who=who, method=request.method, path=request.url.path[:300])

    return (Security(BEARER), Depends(admit))
