"""Whether a payload is one that Slack or Teams would accept. Pure; reasons are in their own words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TEAMS_LIMIT_BYTES = 28 * 1024
_CARD = "application/vnd.microsoft.card.adaptive"
_SLACK_BLOCKS = 50
_BLOCK_TYPES = {"section", "header", "divider", "context", "actions", "image", "rich_text", "markdown", "table"}


def slack_fault(payload: Any) -> str | None:
    """None, or the error that Slack answers: `invalid_payload`, `no_text`, `invalid_blocks` with the place."""
    if not isinstance(payload, dict):
        return "invalid_payload"
    blocks = payload.get("blocks")
    if not payload.get("text") and not blocks:
        return "no_text"
    if blocks is None:
        return None
    if not isinstance(blocks, list) or len(blocks) > _SLACK_BLOCKS:
        return "invalid_blocks: no more than 50 items allowed [json-pointer:/blocks]"
    for number, block in enumerate(blocks):
        if fault := next(_block_faults(block), None):
            return f"invalid_blocks: {fault} [json-pointer:/blocks/{number}]"
    return None


def teams_fault(payload: Any) -> str | None:
    """None, or why a Workflows webhook would not post the card."""
    if not isinstance(payload, dict) or payload.get("type") != "message":
        return "type: must be 'message'"
    attachments = payload.get("attachments")
    if not isinstance(attachments, list) or not attachments:
        return "attachments: must be a list with at least one card"
    for number, attachment in enumerate(attachments):
        if not isinstance(attachment, dict) or attachment.get("contentType") != _CARD:
            return f"attachments.{number}.contentType: must be '{_CARD}'"
        card = attachment.get("content")
        if not isinstance(card, dict) or card.get("type") != "AdaptiveCard" or not card.get("version"):
            return f"attachments.{number}.content: must be an AdaptiveCard with a version"
        if not isinstance(card.get("body"), list) or not card["body"]:
            return f"attachments.{number}.content.body: must be a list of elements"
    return None


def _block_faults(block: Any) -> Iterator[str]:
    if not isinstance(block, dict) or block.get("type") not in _BLOCK_TYPES:
        yield "unsupported type"
        return
    match block["type"]:
        case "header":
            yield from _text_faults(block.get("text"), 150, {"plain_text"})
        case "section":
            yield from _section_faults(block)
        case "context":
            elements = block.get("elements")
            if not isinstance(elements, list) or not 1 <= len(elements) <= 10:
                yield "must have 1 to 10 elements"
        case "actions":
            yield from _actions_faults(block)


def _section_faults(block: dict[str, Any]) -> Iterator[str]:
    fields = block.get("fields")
    if block.get("text") is None and not fields:
        yield "missing required field: text"
    if block.get("text") is not None:
        yield from _text_faults(block["text"], 3000, {"plain_text", "mrkdwn"})
    if fields is not None:
        if not isinstance(fields, list) or len(fields) > 10:
            yield "no more than 10 fields allowed"
            return
        for field in fields:
            yield from _text_faults(field, 2000, {"plain_text", "mrkdwn"})


def _actions_faults(block: dict[str, Any]) -> Iterator[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= 25:
        yield "must have 1 to 25 elements"
        return
    for element in elements:
        yield from _text_faults(element.get("text"), 75, {"plain_text"})
        if len(str(element.get("url") or "")) > 3000:
            yield "must be less than 3001 characters: url"


def _text_faults(text: Any, limit: int, kinds: set[str]) -> Iterator[str]:
    if not isinstance(text, dict) or text.get("type") not in kinds or not isinstance(text.get("text"), str):
        yield "text object is malformed"
    elif not text["text"]:
        yield "must be more than 0 characters"
    elif len(text["text"]) > limit:
        yield f"must be less than {limit + 1} characters"
