"""Pages of lists: an opaque token says where the next page begins."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import Field

from datalab.runtime.web import Problem
from services.notifier.records import Position

# Ids of the notifier's own making; Postgres would take anything but NUL.
Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9._:-]{1,200}$")]
PageSize = Annotated[int, Query(ge=1, le=500)]
# What a path names something by, and what people write: Postgres takes no NUL.
Key = Annotated[str, Path(pattern=r"^[^\x00]{1,300}$")]
Person = Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
PageToken = Annotated[str | None, Query(max_length=500)]


def token_for(at: datetime, key: str) -> str:
    """The token of the page after this entry."""
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), key]).encode()).decode()


def position_of(token: str | None) -> Position | None:
    """Where the token points; a Problem if it is none of ours."""
    if not token:
        return None
    try:
        at, key = json.loads(base64.urlsafe_b64decode(token))
        # The database compares aware times only.
        return datetime.fromisoformat(at).astimezone(UTC), str(key)
    except (ValueError, TypeError, OverflowError):
        raise Problem(
            400, "Invalid page token", "page_token: is not one that this service gave; start without it"
        ) from None
