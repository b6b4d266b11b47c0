"""REST: the whole story of any id. It reads topics, so it takes seconds where they are long."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter

from datalab.runtime.web import Problem
from datalab.store.engine import Sessions
from datalab.trace.story import tell

_DEADLINE_S = 30.0


def traces_router(bootstrap: str, sessions: Sessions) -> APIRouter:
    """The endpoint over this broker and these ledgers."""
    router = APIRouter(prefix="/v1", tags=["traces"])

    @router.get(
        "/traces/{id_:path}", summary="What caused an event, run, trigger, alert or delivery, and what it caused"
    )
    async def trace(id_: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_DEADLINE_S):
                return (await tell(bootstrap, sessions, id_)).to_json()
        except LookupError as error:
            raise Problem(404, "Not Found", str(error)) from error
        except TimeoutError as error:
            detail = f"the topics were not read within {_DEADLINE_S:g} s; use `datalab events trace --timeout`"
            raise Problem(503, "Service Unavailable", detail) from error
        except ConnectionError as error:
            raise Problem(503, "Service Unavailable", f"{error}; try again") from error

    return router
