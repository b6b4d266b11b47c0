"""The short way for events that are plain: from attributes straight to the record, with no object in between.

It decides for nothing but such events; what is odd or wrong in any way is left to `services.ingest.acceptance`, which
finds the words for it. `tests/unit/ingest/test_plain.py` holds the two to the same record.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import to_json

from schemas.catalog import EVENT_TYPES
from schemas.codec import EncodedRecord
from schemas.envelope import OPTIONAL_ATTRIBUTES, EventData
from services.ingest.record import headers_of, time_text

_KNOWN = frozenset({"specversion", "id", "source", "type", "time", "datacontenttype", "data", *OPTIONAL_ATTRIBUTES})
_OTHERS = tuple(name for name in OPTIONAL_ATTRIBUTES if name != "subject")
_RARE = frozenset(_OTHERS)
# A time that `time_text` would write just so; writing one takes longer than reading it.
_AS_WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.(?!000000)[0-9]{6})?Z").fullmatch


def plain_record(attributes: Any, latest: datetime) -> tuple[str, EncodedRecord] | None:
    """Topic and record of an event of one of the lab's types that is complete, sound and not later than `latest`;
    None for any other."""
    if not _is_ours(attributes):
        return None
    id_, source = _text(attributes, "id"), _text(attributes, "source")
    time, model = _time(attributes.get("time"), latest), EVENT_TYPES.get(_text(attributes, "type"))
    if time is None or model is None or not id_ or not source:
        return None
    data = attributes.get("data")
    try:
        # As model_validate does, without its look at the arguments that it could have.
        payload = cast("EventData", model.__pydantic_validator__.validate_python(data))
    except ValidationError:
        return None
    subject = payload.subject() if attributes.get("subject") is None else _text(attributes, "subject")
    others = {"subject": subject}
    if not attributes.keys().isdisjoint(_RARE):
        others |= {name: _text(attributes, name) for name in _OTHERS if attributes.get(name) is not None}
    if len(subject) > 2048 or not all(others.values()):
        return None
    written = attributes["time"] if _AS_WRITTEN(attributes["time"]) else time_text(time)
    headers = headers_of(id_, source, model.type, written, others)
    return model.topic, EncodedRecord(payload.key().encode(), to_json(data), headers)


def _is_ours(attributes: Any) -> bool:
    """Whether it is an object with attributes that the envelope has, in the version and with the content of the lab."""
    return (
        isinstance(attributes, dict)
        and attributes.keys() <= _KNOWN
        and attributes.get("specversion") == "1.0"
        and attributes.get("datacontenttype", "application/json") == "application/json"
    )


def _text(attributes: dict[str, Any], name: str) -> str:
    """The attribute, if it is text that an envelope may hold; else nothing."""
    value = attributes.get(name)
    return value if isinstance(value, str) and len(value) <= 2048 and "\x00" not in value else ""


def _time(value: Any, latest: datetime) -> datetime | None:
    try:
        time = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return None
    return time if time.tzinfo is not None and time <= latest else None
