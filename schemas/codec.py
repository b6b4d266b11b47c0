"""Events to and from Kafka records and HTTP bodies, by the public CloudEvents SDK.

Written in binary mode (`ce_*` headers); binary and structured mode are both read, from any producer. It validates the
envelope only: whether the payload fits its type is the catalogue's question.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from cloudevents.core.bindings import kafka as kafka_binding
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from schemas.attributes import (
    CodecError,
    check_content_type,
    check_required,
    data_base64_from,
    data_from,
    event_from,
    one_line,
)
from schemas.catalog import key_for
from schemas.envelope import OPTIONAL_ATTRIBUTES, Event
from schemas.json_text import parse, printable

__all__ = [
    "BATCH", "STRUCTURED", "CodecError", "EncodedRecord", "decode", "decode_attributes", "encode", "to_structured",
]  # fmt: skip

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_FORMAT = JSONFormat()
_PREFIX, _CONTENT_TYPE = "ce_", "content-type"
# How every format of a whole event begins; only JSON is read.
_ENVELOPE = "application/cloudevents"


class EncodedRecord(NamedTuple):
    """A Kafka record without its place. Headers in the order they are written."""

    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


def encode(event: Event) -> EncodedRecord:
    """The event in binary mode, keyed as its type says; raises as `schemas.catalog.key_for` does."""
    key = key_for(event).encode()
    message = kafka_binding.to_binary(_to_cloudevent(event), _FORMAT, key_mapper=lambda _: key)
    return EncodedRecord(key, message.value, list(message.headers.items()))


def decode(
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes | None]],
    stored_at: datetime | None = None,
) -> Event:
    """The event in a Kafka record of either mode; raises CodecError.

    `stored_at` is when the broker took the record: the time of an event that has none, so that each reading gives the
    same. Without it such an event gets the present. The key follows from the payload, and need not be text.
    """
    if value is None:
        raise CodecError("the record has no value (a tombstone is not an event)")
    attributes = _by_name(headers)
    content_type = attributes.pop(_CONTENT_TYPE, None)
    kind = _kind_of(content_type)
    # A structured record may repeat its attributes as headers, so its content type decides.
    if kind.startswith(_ENVELOPE) or not attributes:
        return _whole(value, kind, stored_at)
    if content_type is not None:
        attributes["datacontenttype"] = content_type
    check_required(attributes)
    return _timed(attributes, data_from(value, content_type), stored_at)


def decode_attributes(attributes: Any) -> Event:
    """The event in a parsed structured JSON object, such as an entry of a batch; raises CodecError."""
    return _structured(attributes, None)


def to_structured(event: Event) -> dict[str, Any]:
    """The event as the JSON object of CloudEvents' structured mode."""
    attributes = event.model_dump(mode="json", exclude_none=True, exclude={"extensions"})
    return {"specversion": "1.0", "datacontenttype": "application/json", **event.extensions, **attributes}


def _to_cloudevent(event: Event) -> CloudEvent:
    attributes: dict[str, Any] = {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "specversion": "1.0",
        "time": event.time,
        "datacontenttype": "application/json",
    }
    attributes |= {name: value for name in OPTIONAL_ATTRIBUTES if (value := getattr(event, name)) is not None}
    return CloudEvent(attributes | event.extensions, event.data)


def _by_name(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """The attributes and, by its header's name, the content type."""
    found: dict[str, str] = {}
    for written, value in headers:
        name = _name_of(written)
        if name is None:
            continue
        if name in found:
            raise CodecError(f"{printable(name)}: is there more than once")
        if value is None:
            continue
        try:
            found[name] = value.decode()
        except UnicodeDecodeError as error:
            raise CodecError(f"{printable(name)}: is not UTF-8") from error
    return found


@lru_cache(maxsize=256)  # a topic's records have the same few
def _name_of(header: str) -> str | None:
    """The attribute that the header is, in small letters; None for one that does not matter."""
    name = header.lower()
    if name.startswith(_PREFIX):
        attribute = name.removeprefix(_PREFIX)
        return attribute if attribute != _CONTENT_TYPE else name  # no attribute's name, and refused as such
    return name if name == _CONTENT_TYPE else None


@lru_cache(maxsize=64)  # as above
def _kind_of(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _whole(value: bytes, kind: str, stored_at: datetime | None) -> Event:
    if kind.startswith(_ENVELOPE) and kind not in {STRUCTURED, _ENVELOPE}:
        raise CodecError(f"content-type: {printable(kind[:100])!r} is not read from Kafka, {STRUCTURED} is")
    try:
        attributes = parse(value)
    except ValueError as error:
        raise CodecError(f"event: neither ce_ headers nor a JSON object: {one_line(error)}") from error
    return _structured(attributes, stored_at)


def _structured(attributes: Any, stored_at: datetime | None) -> Event:
    if not isinstance(attributes, dict):
        raise CodecError("event: must be a JSON object")
    rest = dict(attributes)
    data, encoded = rest.pop("data", None), rest.pop("data_base64", None)
    content_type = rest.get("datacontenttype")
    if isinstance(content_type, str):
        check_content_type(content_type)
    if encoded is not None:
        if data is not None:
            raise CodecError("data_base64: there is data already")
        data = data_base64_from(encoded, content_type if isinstance(content_type, str) else None)
    return _timed(rest, data, stored_at)


def _timed(attributes: dict[str, Any], data: Any, stored_at: datetime | None) -> Event:
    if stored_at is not None and attributes.get("time") is None:
        attributes["time"] = stored_at
    return event_from(attributes, data)
