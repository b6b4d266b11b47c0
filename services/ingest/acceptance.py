"""From what a sender wrote to an event that the lab's types allow, or a problem that names the field at fault. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from pydantic import ValidationError

from datalab.runtime.web import Problem
from schemas.catalog import EVENT_TYPES, UnknownEventTypeError, parse_data
from schemas.codec import BATCH, STRUCTURED, CodecError, decode_attributes
from schemas.envelope import Event
from services.ingest.body import parse_json, unstorable

_BINARY_PREFIX = "ce-"
_UNPROCESSABLE = "Invalid event"


def media_type(headers: Mapping[str, str]) -> str:
    """The content type without its parameters, in lower case."""
    return headers.get("content-type", "").split(";")[0].strip().lower()


def attributes_of(headers: Mapping[str, str], body: bytes) -> Any:
    """The CloudEvents attributes and data of a single-event request in structured or binary mode, not yet judged."""
    kind = media_type(headers)
    if kind == STRUCTURED:
        return parse_json(body)
    binary = {
        n.lower()[len(_BINARY_PREFIX) :]: unquote(v) for n, v in headers.items() if n.lower().startswith(_BINARY_PREFIX)
    }
    if not binary:
        detail = f"Content-Type must be {STRUCTURED} or {BATCH}, or the attributes must stand in ce-* headers"
        raise Problem(415, "Unsupported Media Type", detail, errors=[{"field": "Content-Type", "reason": detail}])
    if kind != "application/json" and not kind.endswith("+json"):
        detail = f"data must be JSON: Content-Type is {kind or 'missing'!r} but must be application/json"
        raise Problem(415, "Unsupported Media Type", detail, errors=[{"field": "Content-Type", "reason": detail}])
    return {**binary, "datacontenttype": "application/json", "data": parse_json(body)}


def accept(attributes: Any, now: datetime) -> Event:
    """The event, complete: a missing `time` is `now`, a missing `subject` is the payload's own. Raises Problem 422."""
    if fault := unstorable(attributes):
        raise _invalid([fault])
    if isinstance(attributes, dict) and attributes.get("time") is None:
        attributes = {**attributes, "time": now.isoformat()}
    try:
        event = decode_attributes(attributes)
        data = parse_data(event)
    except CodecError as error:
        raise _invalid(list(error.faults)) from error
    except UnknownEventTypeError as error:
        raise _invalid([f"type: {error}"], known_types=sorted(EVENT_TYPES)) from error
    except ValidationError as error:
        faults = [f"{'.'.join(['data', *map(str, e['loc'])])}: {e['msg']}" for e in error.errors(include_url=False)]
        raise _invalid(faults[:20]) from error
    return event if event.subject else event.model_copy(update={"subject": data.subject()})


def _invalid(faults: list[str], **extra: Any) -> Problem:
    """A problem from `field: reason` texts."""
    errors = [{"field": field, "reason": reason} for field, _, reason in (fault.partition(": ") for fault in faults)]
    return Problem(422, _UNPROCESSABLE, "; ".join(faults), errors=errors, **extra)
