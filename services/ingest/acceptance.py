"""From what a sender wrote to a record that the lab's types allow, or a problem that names the field at fault. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import unquote

from pydantic import ValidationError

from datalab.runtime.web import Problem
from schemas.catalog import EVENT_TYPES, UnknownEventTypeError, is_user_type, parse_data, topic_for
from schemas.codec import BATCH, STRUCTURED, CodecError, EncodedRecord, decode_attributes
from schemas.envelope import Event
from services.ingest.body import may_hold_nul, parse_json, unstorable
from services.ingest.plain import plain_record
from services.ingest.record import record_of

EVENT_LIMIT = 1024 * 1024
# Beyond it the monitor takes an event's time for a mistake, and so does everything that is ordered by time.
FUTURE_LIMIT = timedelta(days=1)
_BINARY_PREFIX = "ce-"
_UNPROCESSABLE = "Invalid event"


@dataclass(frozen=True)
class UserType:
    """The newest version of a user's type. `faults` judges an event's data: `field: reason` each, none if it fits."""

    type: str
    version: int
    schema: dict[str, Any]
    faults: Callable[[Any], list[str]]


class Draft(NamedTuple):
    """An event that may be published, as it goes to Kafka."""

    id: str
    type: str
    topic: str
    record: EncodedRecord


def media_type(headers: Mapping[str, str]) -> str:
    """The content type without its parameters, in lower case."""
    return headers.get("content-type", "").split(";")[0].strip().lower()


def attributes_of(headers: Mapping[str, str], body: bytes) -> Any:
    """The CloudEvents attributes and data of a single-event request in structured or binary mode, not yet judged but
    for what cannot be stored. Raises Problem 400, 415 or 422."""
    kind = media_type(headers)
    if kind == STRUCTURED:
        return checked(parse_json(body), body)
    binary = {
        n.lower()[len(_BINARY_PREFIX) :]: unquote(v) for n, v in headers.items() if n.lower().startswith(_BINARY_PREFIX)
    }
    if not binary:
        detail = f"Content-Type must be {STRUCTURED} or {BATCH}, or the attributes must stand in ce-* headers"
        raise Problem(415, "Unsupported Media Type", detail, errors=[{"field": "Content-Type", "reason": detail}])
    if kind != "application/json" and not kind.endswith("+json"):
        detail = f"data must be JSON: Content-Type is {kind or 'missing'!r} but must be application/json"
        raise Problem(415, "Unsupported Media Type", detail, errors=[{"field": "Content-Type", "reason": detail}])
    if fault := unstorable(binary):
        raise invalid([fault])
    data = {"datacontenttype": "application/json", "data": parse_json(body)}
    return checked({**binary, **data}, body)


def checked(value: Any, body: bytes) -> Any:
    """The value of this body; raises Problem 422 if it holds NUL. Cheap where it does not."""
    if may_hold_nul(body) and (fault := unstorable(value)):
        raise invalid([fault])
    return value


def type_of(attributes: Any) -> str:
    """The type that somebody says an event has; empty if none."""
    named = attributes.get("type") if isinstance(attributes, dict) else None
    return named if isinstance(named, str) else ""


def accept(attributes: Any, now: datetime, users: Mapping[str, UserType]) -> Draft:
    """The event as a record: a missing `time` is `now`, a missing `subject` is the payload's own. `users` has the
    users' types that the sender may have meant. Raises Problem 422, or 413 if it is too large by itself."""
    if isinstance(attributes, dict) and attributes.get("time") is None:
        attributes = {**attributes, "time": now.isoformat()}
    if (plain := plain_record(attributes, now + FUTURE_LIMIT)) is not None:
        topic, record = plain
        return _draft(attributes["id"], attributes["type"], topic, record, attributes["data"])
    return _accept_any(attributes, now, users)


def _accept_any(attributes: Any, now: datetime, users: Mapping[str, UserType]) -> Draft:
    try:
        event = decode_attributes(attributes)
    except CodecError as error:
        raise invalid(list(error.faults)) from error
    if event.time > now + FUTURE_LIMIT:
        raise invalid([f"time: {event.time.isoformat()} is more than a day ahead of {now.isoformat()}"])
    event, key = _of_user_type(event, users) if is_user_type(event.type) else _of_our_type(event)
    return _draft(event.id, event.type, topic_for(event.type), record_of(event, key), event.data)


def _draft(id_: str, type_: str, topic: str, record: EncodedRecord, data: Any) -> Draft:
    # 1e400 reads as infinity, which is written as a word that is no JSON. One letter is looked for far faster.
    if b"I" in record.value and b"Infinity" in record.value and (fault := unstorable(data, "data")):
        raise invalid([fault])
    if len(record.value) > EVENT_LIMIT:
        detail = f"data: has {len(record.value)} bytes as it is stored, more than {EVENT_LIMIT}"
        raise Problem(413, "Content Too Large", detail, errors=[{"field": "data", "reason": detail[6:]}])
    return Draft(id_, type_, topic, record)


def _of_our_type(event: Event) -> tuple[Event, str]:
    try:
        data = parse_data(event)
    except UnknownEventTypeError as error:
        raise invalid([f"type: {error}"], known_types=sorted(EVENT_TYPES)) from error
    except ValidationError as error:
        faults = [f"{'.'.join(['data', *map(str, e['loc'])])}: {e['msg']}" for e in error.errors(include_url=False)]
        raise invalid(faults[:20]) from error
    return (event if event.subject else event.model_copy(update={"subject": data.subject()})), data.key()


def _of_user_type(event: Event, users: Mapping[str, UserType]) -> tuple[Event, str]:
    known = users.get(event.type)
    if known is None:
        raise invalid([f"type: {event.type!r} is not registered; PUT its JSON Schema to /v1/schemas/{event.type}"])
    if faults := known.faults(event.data):
        raise invalid([_below_data(fault) for fault in faults[:20]], schema_version=known.version)
    return event, event.subject or event.source


def _below_data(fault: str) -> str:
    field, _, reason = fault.partition(": ")
    return f"data.{field}: {reason}" if field and field != "data" else f"data: {reason}"


def invalid(faults: list[str], **extra: Any) -> Problem:
    """A problem 422 from `field: reason` texts."""
    errors = [{"field": field, "reason": reason} for field, _, reason in (fault.partition(": ") for fault in faults)]
    return Problem(422, _UNPROCESSABLE, "; ".join(faults), errors=errors, **extra)
