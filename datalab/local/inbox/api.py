"""The inbox for people and programs: the list, one message, the page. All that came from outside is shown as text;
only a mail's HTML is shown as HTML, in a frame without scripts, forms or network.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from pydantic import BaseModel, ConfigDict, SecretStr

from datalab.local.inbox.keyring import Keyring
from datalab.local.inbox.messages import ChannelName, Message, MessageBox
from datalab.runtime.web import Problem

_PAGE = Path(__file__).with_name("page")
_FILES = {"inbox.css": "text/css", "inbox.js": "text/javascript"}
_HARD = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)
_BRIEF = {"id", "channel", "received_at", "title", "snippet", "path", "verified", "refused"}


class MessagePage(BaseModel):
    """Messages, the newest first. With `brief`, without headers and bodies."""

    messages: list[dict[str, Any]]
    total: int
    next_page_token: str | None


class NewSecret(BaseModel):
    """The secret to verify a webhook with."""

    model_config = ConfigDict(extra="forbid")

    secret: SecretStr


class Cleared(BaseModel):
    """How many messages were removed."""

    removed: int


def router(box: MessageBox, keyring: Keyring) -> APIRouter:  # noqa: C901 - one small function per operation
    """The router of the page and its API."""
    api = APIRouter(tags=["inbox"])

    @api.get("/api/messages", summary="Messages, the newest first")
    async def list_(
        channel: ChannelName | None = None,
        contains: Annotated[str | None, Query(max_length=500)] = None,
        since: datetime | None = None,
        brief: bool = False,
        page_size: Annotated[int, Query(ge=1, le=1000)] = 200,
        page_token: Annotated[str, Query(max_length=60)] = "",
    ) -> MessagePage:
        start = since.replace(tzinfo=since.tzinfo or UTC) if since else None
        found = (
            message
            for message in box.newest_first()
            if (channel is None or message.channel == channel)
            and (start is None or message.received_at >= start)
            and (not page_token or message.id < page_token)
            and (not contains or message.mentions(contains))
        )
        shown = list(islice(found, page_size + 1))
        more = shown[page_size - 1].id if len(shown) > page_size else None
        fields = _BRIEF if brief else None
        entries = [message.model_dump(mode="json", include=fields) for message in shown[:page_size]]
        return MessagePage(messages=entries, total=len(box), next_page_token=more)

    @api.get("/api/messages/{message_id}", summary="One message, complete")
    async def show(message_id: str) -> Message:
        return _found(box, message_id)

    @api.get("/api/messages/{message_id}/html", summary="The HTML of a mail, disarmed", response_class=HTMLResponse)
    async def html(message_id: str) -> HTMLResponse:
        message = _found(box, message_id)
        if message.mail is None or not message.mail.html:
            raise Problem(404, "No HTML", f"message {message_id!r} has no HTML part")
        return HTMLResponse(message.mail.html, headers={**_HARD, "Content-Security-Policy": _MAIL_POLICY})

    @api.delete("/api/messages", summary="Remove all messages")
    async def clear() -> Cleared:
        return Cleared(removed=box.clear())

    @api.put("/api/webhooks/{name}/secret", status_code=204, summary="Verify this webhook with a secret")
    async def register(name: str, new: NewSecret, request: Request) -> None:
        if not _is_local(request):
            raise Problem(403, "Local only", "secrets are taken from this machine only")
        try:
            keyring.register(name, new.secret.get_secret_value())
        except ValueError as error:
            raise Problem(422, "Not a secret", f"secret: {error}") from None

    @api.get("/", summary="The page", response_class=HTMLResponse)
    async def page() -> Response:
        headers = {**_HARD, "Content-Security-Policy": _PAGE_POLICY}
        return FileResponse(_PAGE / "index.html", media_type="text/html; charset=utf-8", headers=headers)

    @api.get("/assets/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in _FILES:
            raise Problem(404, "Not found", f"there is no file {name!r}")
        return FileResponse(_PAGE / name, media_type=f"{_FILES[name]}; charset=utf-8", headers=_HARD)

    return api


def _found(box: MessageBox, message_id: str) -> Message:
    message = box.get(message_id)
    if message is None:
        raise Problem(404, "Unknown message", f"no message has the id {message_id!r}")
    return message


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
