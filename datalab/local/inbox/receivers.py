"""The HTTP side: what Slack, Teams and a subscriber's webhook would answer."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from datalab.local.inbox.keyring import Keyring
from datalab.local.inbox.messages import MessageBox
from datalab.local.inbox.shapes import TEAMS_LIMIT_BYTES, slack_fault, teams_fault

_LIMIT_BYTES = 256 * 1024
_HIDDEN = {"authorization", "cookie", "proxy-authorization"}


class TooLargeError(Exception):
    """The body is larger than the receiver takes."""


def router(box: MessageBox, keyring: Keyring) -> APIRouter:
    """The router of the three receivers."""
    api = APIRouter(tags=["receivers"])

    @api.post("/slack/{place:path}", summary="Slack's incoming webhook")
    async def slack(request: Request) -> Response:
        try:
            body = await _body(request, _LIMIT_BYTES)
        except TooLargeError:
            return PlainTextResponse("payload_too_large", 413)
        payload = _json(body)
        fault = slack_fault(payload)
        title = (payload.get("text") or _first_text(payload)) if isinstance(payload, dict) else ""
        snippet = _second_text(payload)
        box.add("slack", _shown(title), snippet=snippet, **_received(request, body, payload), refused=fault)
        return PlainTextResponse(fault or "ok", 400 if fault else 200)

    @api.post("/teams/{place:path}", summary="The webhook of a Teams workflow")
    async def teams(request: Request) -> Response:
        try:
            body = await _body(request, TEAMS_LIMIT_BYTES)
        except TooLargeError:
            box.add("teams", "", path=request.url.path, refused="the card is larger than 28 KB")
            return PlainTextResponse("the card is larger than 28 KB", 413)
        payload = _json(body)
        fault = teams_fault(payload)
        title, lead = _card_title(payload), _card_lead(payload)
        box.add("teams", title, snippet=lead, **_received(request, body, payload), refused=fault)
        return PlainTextResponse(fault or "", 400 if fault else 202)

    @api.options("/webhooks/{name}", summary="Agrees to be sent webhooks, as CloudEvents' specification has it")
    async def consent(name: str, request: Request) -> Response:
        return Response(headers={"WebHook-Allowed-Origin": request.headers.get("WebHook-Request-Origin", "*")})

    @api.post("/webhooks/{name}", summary="A subscriber's webhook")
    async def webhook(name: str, request: Request) -> Response:
        try:
            body = await _body(request, _LIMIT_BYTES)
        except TooLargeError:
            return PlainTextResponse("too large", 413)
        payload = _json(body)
        verified = keyring.verify(name, body, request.headers)
        title, about = _event_title(payload, name), _summary(payload)
        box.add("webhook", title, snippet=about, **_received(request, body, payload), verified=verified)
        return Response(status_code=204)

    return api


async def _body(request: Request, limit: int) -> bytes:
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > limit:
            raise TooLargeError
    return bytes(received)


def _received(request: Request, body: bytes, payload: Any) -> dict[str, Any]:
    headers = {name: "***" if name in _HIDDEN else value for name, value in request.headers.items()}
    text = body.decode("utf-8", "replace")
    return {"path": request.url.path, "headers": headers, "body": text, "payload": payload}


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _first_text(payload: dict[str, Any]) -> str:
    blocks = payload.get("blocks")
    first = blocks[0] if isinstance(blocks, list) and blocks and isinstance(blocks[0], dict) else {}
    text = first.get("text")
    return str(text.get("text", "")) if isinstance(text, dict) else ""


def _card_title(payload: Any) -> str:
    try:
        card = payload["attachments"][0]["content"]
        return _shown(str(card.get("fallbackText") or card["body"][0].get("text") or ""))
    except (TypeError, KeyError, IndexError, AttributeError):
        return ""


def _second_text(payload: Any) -> str:
    try:
        return _shown(payload["blocks"][1]["text"]["text"]).replace("*", "")
    except (TypeError, KeyError, IndexError):
        return ""


def _card_lead(payload: Any) -> str:
    try:
        return _shown(payload["attachments"][0]["content"]["body"][1]["text"]).replace("\\", "")
    except (TypeError, KeyError, IndexError):
        return ""


def _summary(payload: Any) -> str:
    data = payload.get("data") if isinstance(payload, dict) else None
    return _shown(data.get("summary") or "") if isinstance(data, dict) else ""


def _event_title(payload: Any, name: str) -> str:
    if not isinstance(payload, dict) or not payload.get("type"):
        return name
    return _shown(f"{payload['type']} · {payload['subject']}" if payload.get("subject") else str(payload["type"]))


def _shown(text: Any) -> str:
    unescaped = str(text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return " ".join(unescaped.split())[:300]
