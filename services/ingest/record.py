"""An accepted event as a Kafka record, without the detour over the CloudEvents SDK's objects: half the time per event.

`tests/unit/ingest/test_record.py` holds it to `schemas.codec.encode`: the same key and headers, byte for byte, and the
same JSON value, written without spaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from schemas.codec import EncodedRecord
from schemas.envelope import OPTIONAL_ATTRIBUTES, Event

_SPECVERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", b"application/json")


def record_of(event: Event, key: str) -> EncodedRecord:
    """The event in binary mode under this key, which must be what `schemas.catalog.key_for` says."""
    attributes = {name: value for name in OPTIONAL_ATTRIBUTES if (value := getattr(event, name)) is not None}
    headers = headers_of(event.id, event.source, event.type, time_text(event.time), attributes | event.extensions)
    return EncodedRecord(key.encode(), to_json(event.data), headers)


def time_text(time: datetime) -> str:
    """The time as the SDK writes it."""
    return time.isoformat().replace("+00:00", "Z")


def headers_of(id_: str, source: str, type_: str, time: str, others: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    """The headers of an event with these attributes, in the order that the SDK writes them; `time` as `time_text`."""
    headers = [
        ("ce_id", id_.encode()),
        ("ce_source", source.encode()),
        ("ce_type", type_.encode()),
        _SPECVERSION,
        ("ce_time", time.encode()),
        _CONTENT_TYPE,
    ]
    for name, value in others.items():
        headers.append((f"ce_{name}", value.encode()))
    return headers
