"""Events to and from Kafka records and HTTP bodies, by the public CloudEvents SDK.

Written in binary mode (`ce_*` headers); binary and structured mode are both read. It validates the envelope only:
whether the payload fits its type is the catalogue's question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from cloudevents.core.bindings import http as http_binding
from cloudevents.core.bindings import kafka as kafka_binding
from cloudevents.core.exceptions import BaseCloudEventException, CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from pydantic import ValidationError

from schemas.catalog import key_for
from schemas.envelope import Event

_JSON = JSONFormat()
_OPTIONAL = ("subject", "causationid", "correlationid", "traceparent", "dataschema")
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
# What the SDK lets through when the bytes are not what they claim to be.
_MALFORMED = (BaseCloudEventException, ValueError, TypeError, KeyError, AttributeError, RecursionError)


class CodecError(ValueError):
    """The bytes are not an event. `faults` has one `attribute: why` for each fault; the message joins them."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class EncodedRecord(NamedTuple):
    """A Kafka record without its place. Headers in the order they are written."""

    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


def encode(event: Event) -> EncodedRecord:
    """The event in binary mode, keyed as its type says; raises as `schemas.catalog.key_for` does."""
    key = key_for(event).encode()
    message = kafka_binding.to_binary(_to_cloudevent(event), _JSON, key_mapper=lambda _: key)
    return EncodedRecord(key, message.value, list(message.headers.items()))


def decode(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> Event:
    """The event in a Kafka record of either mode; raises CodecError."""
    if value is None:
        raise CodecError("the record has no value (a tombstone is not an event)")
    # The key is not needed here: it follows from the payload, and need not be text.
    message = kafka_binding.KafkaMessage(headers=dict(headers), key=None, value=value)
    try:
        return _from_cloudevent(kafka_binding.from_kafka(message, _JSON, _strict))
    except CodecError:
        raise
    except _MALFORMED as error:
        raise _refusal(error) from error


def decode_http(headers: Mapping[str, str], body: bytes) -> Event:
    """The event in an HTTP request, binary or structured; raises CodecError."""
    message = http_binding.HTTPMessage(headers={k.lower(): v for k, v in headers.items()}, body=body)
    try:
        return _from_cloudevent(http_binding.from_http(message, _JSON, _strict))
    except CodecError:
        raise
    except _MALFORMED as error:
        raise _refusal(error) from error


def decode_attributes(attributes: Any) -> Event:
    """The event in a parsed structured JSON object, such as an entry of a batch; raises CodecError."""
    if not isinstance(attributes, dict):
        raise CodecError("event: must be a JSON object")
    rest = dict(attributes)
    if isinstance(rest.get("time"), str):
        try:
            rest["time"] = datetime.fromisoformat(rest["time"])
        except ValueError as error:
            raise CodecError(f"time: {error}") from error
    if "data_base64" in rest:
        raise CodecError("data_base64: the lab's events carry JSON; put it into data")
    data = rest.pop("data", None)
    try:
        return _from_cloudevent(_strict(rest, data))
    except CodecError:
        raise
    except _MALFORMED as error:
        raise _refusal(error) from error


def to_structured(event: Event) -> dict[str, Any]:
    """The event as the JSON object of CloudEvents' structured mode."""
    attributes = event.model_dump(mode="json", exclude_none=True)
    return {"specversion": "1.0", "datacontenttype": "application/json", **attributes}


def _to_cloudevent(event: Event) -> CloudEvent:
    attributes: dict[str, Any] = {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "specversion": "1.0",
        "time": event.time,
        "datacontenttype": "application/json",
    }
    attributes |= {name: value for name in _OPTIONAL if (value := getattr(event, name)) is not None}
    return CloudEvent(attributes, event.data)


def _from_cloudevent(cloudevent: Any) -> Event:
    data = cloudevent.get_data()
    if not isinstance(data, dict):
        raise CodecError("data: must be a JSON object with content type application/json")
    attributes = cloudevent.get_attributes()
    time = attributes.get("time")
    if time is None:
        raise CodecError("time: is missing")
    try:
        return Event(
            id=attributes["id"],
            source=attributes["source"],
            type=attributes["type"],
            time=time,
            data=data,
            **{name: attributes.get(name) for name in _OPTIONAL},
        )
    except ValidationError as error:
        raise CodecError(*(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())) from error


def _strict(attributes: dict[str, Any], data: Any) -> CloudEvent:
    """A CloudEvent with an id of its own. The SDK would make one up, another one each time the same record is read."""
    missing = [name for name in ("specversion", "id", "source", "type") if name not in attributes]
    if missing:
        raise CodecError(*(f"{name}: is missing" for name in missing))
    return CloudEvent(attributes, data)


def _refusal(error: BaseException) -> CodecError:
    if isinstance(error, CloudEventValidationError):
        return CodecError(*(f"{name}: {_one_line(reasons[0])}" for name, reasons in error.errors.items()))
    return CodecError(f"event: not a CloudEvent: {_one_line(error)}")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__
