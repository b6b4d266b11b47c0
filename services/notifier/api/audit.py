"""`/v1/audit`: who changed what."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from datalab.runtime.web import Problem
from services.notifier.api.pages import PageSize, PageToken, position_of, token_for
from services.notifier.audit import Audit


class AuditView(BaseModel):
    """One request that changed something, or tried to."""

    at: datetime
    who: str = Field(description="`token:NAME`, or `client:ADDRESS` without a token")
    action: str
    subject: str
    outcome: str | None = Field(description="`done`, or why not; null if the process died on the way")


class AuditPage(BaseModel):
    """One page, the newest first."""

    entries: list[AuditView]
    next_page_token: str | None


def router(audit: Audit) -> APIRouter:
    """The router of these operations."""
    api = APIRouter(prefix="/v1/audit", tags=["audit"])

    @api.get("", summary="List, the newest first")
    async def list_(page_size: PageSize = 100, page_token: PageToken = None) -> AuditPage:
        before = position_of(page_token)
        if before is not None and not (before[1].isascii() and before[1].isdecimal() and len(before[1]) < 19):
            raise Problem(400, "Invalid page token", "page_token: is of another list; start without it")
        rows = await audit.entries(before, page_size + 1)
        last = rows[page_size - 1] if len(rows) > page_size else None
        return AuditPage(
            entries=[AuditView.model_validate(row, from_attributes=True) for row in rows[:page_size]],
            next_page_token=token_for(last.at, str(last.id)) if last else None,
        )

    return api
