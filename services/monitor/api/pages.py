"""Pages of lists, and reading with a session: what the routers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query

from services.monitor.paging import Place, from_token, to_token

PageSize = Annotated[int, Query(ge=1, le=500)]
PageToken = Annotated[str | None, Query(max_length=2000)]


def place_of(token: str | None) -> Place | None:
    """Where the token points; a Problem if it is none of ours."""
    return from_token(token) if token else None


def next_token(places: Sequence[Place], page_size: int) -> str | None:
    """The token of the next page; one entry more than a page shows that there is one."""
    return to_token(places[page_size - 1]) if len(places) > page_size else None
