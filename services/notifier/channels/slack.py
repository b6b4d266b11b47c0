"""Slack by incoming webhook: Block Kit, escaped, within Slack's limits."""

from __future__ import annotations

import json
from typing import Any

from services.notifier.delivery import Delivery, Result, Target
from services.notifier.messages import AlertMessage, Phrasebook, listed, one_line
from services.notifier.outgoing import Outgoing
from services.notifier.prefect_blocks import BlockUnreadableError, PrefectBlocks

_HEADER_LIMIT = 150
_TEXT_LIMIT = 3000
_FIELD_LIMIT = 2000
_FIELDS_PER_SECTION = 10
_FIELD_SECTIONS = 3
_BUTTONS = 5
_URL_LIMIT = 3000


class SlackChannel:
    """Posts to the target's webhook."""

    def __init__(self, outgoing: Outgoing, phrases: Phrasebook, blocks: PrefectBlocks) -> None:
        self._outgoing, self._phrases, self._blocks = outgoing, phrases, blocks

    async def send(self, delivery: Delivery, target: Target) -> Result:
        """Post once. Slack has no idempotency of its own: the delivery's id stands at the message's foot."""
        payload = self._payload(delivery, target)
        try:
            url = await self._blocks.slack_url(target.block) if target.block else target.url
        except BlockUnreadableError as error:
            return Result(False, str(error), permanent=error.permanent)
        headers = {"Content-Type": "application/json; charset=utf-8", "Idempotency-Key": delivery.id}
        return await self._outgoing.post(url, json.dumps(payload).encode(), headers)

    async def preview(self, delivery: Delivery, target: Target) -> dict[str, Any]:
        """The payload."""
        return {"payload": self._payload(delivery, target)}

    def _payload(self, delivery: Delivery, target: Target) -> dict[str, Any]:
        phrases = self._phrases.in_language(target.language)
        return message_for(phrases.told(delivery.event, delivery.notice), delivery.id, phrases)


def message_for(alert: AlertMessage, delivery_id: str, phrases: Phrasebook) -> dict[str, Any]:
    """The payload of the webhook."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(one_line(alert.headline, _HEADER_LIMIT))},
        _section(f"*{escape(alert.status_text)}* · {escape(alert.opening)}"),
    ]
    if alert.description.strip():
        blocks.append(_section(escaped_within(alert.description, _TEXT_LIMIT)))
    if alert.items:
        # Escaping may make text longer; what is cut then is cut by the line.
        blocks.append(_section(escaped_within(listed(alert, phrases, _TEXT_LIMIT - 300), _TEXT_LIMIT)))
    blocks += _fact_sections(alert)
    if buttons := _buttons(alert):
        blocks.append({"type": "actions", "elements": buttons})
    foot = f"{escape(alert.footer)} · `{escape(delivery_id)}`"
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": foot}]})
    # `text` is what notifications and screen readers show; Slack parses it as markup too.
    return {"text": escaped_within(one_line(alert.headline, _TEXT_LIMIT), _TEXT_LIMIT), "blocks": blocks}


def escape(text: str) -> str:
    """Slack's own escaping, which also takes the power from `<!channel>` and `<@user>`."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escaped_within(text: str, limit: int) -> str:
    """The escaped text, cut to the limit between characters, never within an escape."""
    escaped = escape(text)
    if len(escaped) <= limit:
        return escaped
    kept: list[str] = []
    room = limit - 1
    for character in text:
        piece = escape(character)
        if len(piece) > room:
            break
        room -= len(piece)
        kept.append(piece)
    return "".join(kept) + "…"


def _fact_sections(alert: AlertMessage) -> list[dict[str, Any]]:
    fields = [
        {"type": "mrkdwn", "text": f"*{escaped_within(label, 100)}*\n{escaped_within(value, _FIELD_LIMIT - 200)}"}
        for label, value in alert.facts[: _FIELDS_PER_SECTION * _FIELD_SECTIONS]
    ]
    return [
        {"type": "section", "fields": fields[start : start + _FIELDS_PER_SECTION]}
        for start in range(0, len(fields), _FIELDS_PER_SECTION)
    ]


def _buttons(alert: AlertMessage) -> list[dict[str, Any]]:
    links = [(label, address) for label, address in alert.links if len(address) <= _URL_LIMIT]
    return [
        {"type": "button", "text": _plain(one_line(label, 75)), "url": address, "action_id": f"link-{number}"}
        for number, (label, address) in enumerate(links[:_BUTTONS])
    ]


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": True}
