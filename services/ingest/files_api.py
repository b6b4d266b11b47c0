"""`GET /v1/files`: the ledger of files, newest first."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from datalab.runtime.web import Problem
from datalab.store.engine import database_is_down
from services.ingest.intake import RETRY_AFTER_S
from services.ingest.ledger import Ledger, Status


class FileEntry(BaseModel):
    """One version of a file and what became of it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    path: str
    size_bytes: int
    dataset: str | None
    format: str | None
    sha256: str | None
    event_id: str | None
    status: Status
    reason: str | None
    topic: str | None
    partition: int | None
    offset: int | None
    version: str = Field(description="ETag of an object; empty for a file")
    first_seen_at: datetime
    updated_at: datetime
    gone_at: datetime | None = Field(description="When an object was found to be gone")


class FilePage(BaseModel):
    """A page of the ledger; the last one has no token."""

    files: list[FileEntry]
    next_page_token: str | None = None


def files_router(ledger: Ledger) -> APIRouter:
    """The router of this module."""
    router = APIRouter(tags=["files"])

    @router.get("/v1/files", summary="Files and what became of them, newest first")
    async def get_files(
        page_size: Annotated[int, Query(ge=1, le=1000)] = 100,
        page_token: str | None = None,
        status: Status | None = None,
    ) -> FilePage:
        before = None if page_token is None else _position(page_token)
        try:
            rows = await ledger.page(page_size + 1, before, status)
        except Exception as error:
            if not database_is_down(error):
                raise
            retry = {"Retry-After": str(RETRY_AFTER_S)}
            raise Problem(
                503, "Service Unavailable", "the ledger cannot be read at the moment", headers=retry
            ) from error
        shown = rows[:page_size]
        token = _token(shown[-1].id) if len(rows) > page_size else None
        return FilePage(files=[FileEntry.model_validate(row) for row in shown], next_page_token=token)

    return router


def _token(row_id: int) -> str:
    return base64.urlsafe_b64encode(str(row_id).encode()).decode().rstrip("=")


def _position(token: str) -> int:
    try:
        position = int(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        # Larger numbers would not fit the database's column.
        if 0 < position < 2**63:
            return position
    except (ValueError, binascii.Error):
        pass
    detail = "page_token: is not one that this service gave; leave it out to begin anew"
    raise Problem(422, "Invalid request", detail, errors=[{"field": "page_token", "reason": detail}])
