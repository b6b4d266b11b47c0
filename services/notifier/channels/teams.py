"""Microsoft Teams by Workflows webhook: an Adaptive Card, kept below 20 KB (Teams refuses cards above 28 KB)."""

from __future__ import annotations

import json
import re
from typing import Any

from services.notifier.delivery import Delivery, Result, Target
from services.notifier.messages import AlertMessage, Phrasebook, listed, one_line
from services.notifier.outgoing import Outgoing

LIMIT_BYTES = 20_000
_MARKDOWN = re.compile(r"([\\`*_\[\]()#~>|!-])")
_STYLES = {"critical": "attention", "error": "attention", "warning": "warning", "info": "accent"}
# Each step says less, until the card fits: characters of the description, number of facts, characters of a fact.
_STEPS = ((6000, 30, 1000), (3000, 20, 400), (1000, 12, 200), (300, 6, 100))


class TeamsChannel:
    """Posts to the target's webhook."""

    def __init__(self, outgoing: Outgoing, phrases: Phrasebook) -> None:
        self._outgoing, self._phrases = outgoing, phrases

    async def send(self, delivery: Delivery, target: Target) -> Result:
        """Post once. Teams' 202 means accepted; it does not tell what became of the card."""
        body = self._body(delivery, target)
        headers = {"Content-Type": "application/json; charset=utf-8", "Idempotency-Key": delivery.id}
        return await self._outgoing.post(target.url, body, headers)

    async def preview(self, delivery: Delivery, target: Target) -> dict[str, Any]:
        """The payload and its size, of which Teams takes so much."""
        body = self._body(delivery, target)
        return {"payload": json.loads(body), "bytes": len(body), "limit_bytes": LIMIT_BYTES}

    def _body(self, delivery: Delivery, target: Target) -> bytes:
        phrases = self._phrases.in_language(target.language)
        return card_bytes(phrases.told(delivery.event, delivery.notice), delivery.id, phrases)


def card_bytes(alert: AlertMessage, delivery_id: str, phrases: Phrasebook) -> bytes:
    """The payload, as complete as the limit allows."""
    body = b""
    for description, facts, characters in _STEPS:
        said = listed(alert, phrases, description) if alert.items else _cut(alert.description, description)
        card = _card(alert, delivery_id, said, facts, characters)
        body = json.dumps(_message(card), ensure_ascii=False).encode()
        if len(body) <= LIMIT_BYTES:
            break
    return body


def plain(text: str) -> str:
    """The text with Markdown's characters escaped, so that an alert cannot bring links or formats of its own."""
    return _MARKDOWN.sub(r"\\\1", text)


def _message(card: dict[str, Any]) -> dict[str, Any]:
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _card(alert: AlertMessage, delivery_id: str, said: str, facts: int, chars: int) -> dict[str, Any]:
    body: list[dict[str, Any]] = [
        {
            "type": "Container",
            "style": "good" if alert.resolved else _STYLES[alert.severity],
            "bleed": True,
            "items": [
                _text(f"{alert.sign} {alert.status_text} · {alert.severity_text}", weight="Bolder", size="Small"),
                _text(one_line(alert.summary, 300), weight="Bolder", size="Large"),
                _text(alert.opening, isSubtle=True, spacing="Small"),
            ],
        }
    ]
    if said.strip():
        # In Adaptive Cards a line ends with an empty one.
        body.append(_text(said.replace("\n", "\n\n") if alert.items else said))
    shown = alert.facts[:facts]
    pairs = [{"title": plain(one_line(k, 80)), "value": plain(one_line(v, chars))} for k, v in shown]
    body.append({"type": "FactSet", "facts": pairs})
    body.append(_text(f"{alert.footer} · {delivery_id}", isSubtle=True, size="Small", separator=True))
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": one_line(alert.headline, 300),
        "msteams": {"width": "Full"},
        "body": body,
    }
    if links := [(label, address) for label, address in alert.links if len(address) <= 500][:4]:
        card["actions"] = [
            {"type": "Action.OpenUrl", "title": one_line(label, 60), "url": address} for label, address in links
        ]
    return card


def _text(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "TextBlock", "text": plain(text), "wrap": True, **more}


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
