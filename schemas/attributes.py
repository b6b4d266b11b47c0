"""From CloudEvents attributes and data, as anybody wrote them, to an Event or a refusal that says what is wrong."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from cloudevents.core.exceptions import BaseCloudEventException, CloudEventValidationError
from cloudevents.core.v1.event import CloudEvent
from pydantic import ValidationError

from schemas.envelope import OPTIONAL_ATTRIBUTES, Event
from schemas.json_text import parse, printable, unstorable

_REQUIRED = ("specversion", "id", "source", "type")
_ALL_REQUIRED = frozenset(_REQUIRED)
_KNOWN = frozenset({*_REQUIRED, "time", "datacontenttype", *OPTIONAL_ATTRIBUTES})
_NOT_KEPT = frozenset({"specversion", "datacontenttype"})
_ALL_OF_PLAIN = _ALL_REQUIRED | {"time"}
_TEXT_ALONE = {str}
_NO_OBJECT = "data: must be a JSON object with content type application/json"
_JSON = re.compile(r"(application|text)/([a-z0-9.\-]+\+)?json", re.IGNORECASE)
_UTF8 = {"", "utf-8", "utf8", "us-ascii"}
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\";\s]*)", re.IGNORECASE)


class CodecError(ValueError):
    """The bytes are not an event. `faults` has one `attribute: why` for each fault; the message joins them."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def event_from(attributes: Mapping[str, Any], data: Any) -> Event:
    """The event; `time` as text or datetime. Raises CodecError.

    Attributes that the lab does not know are kept as text, in `extensions`.
    """
    if _is_plain(attributes) and (at := time_of(attributes["time"])).tzinfo is not None:
        return _plain_event(attributes, at, data)
    check_required(attributes)
    if nul := [name for name, value in attributes.items() if isinstance(value, str) and "\x00" in value]:
        raise CodecError(*(f"{printable(name)}: the character NUL cannot be stored" for name in nul))
    attributes = {name: value for name, value in attributes.items() if value is not None or name in _REQUIRED}
    if isinstance(time := attributes.get("time"), str):
        attributes["time"] = time_of(time)
    if not isinstance(data, dict):
        raise CodecError(_NO_OBJECT)
    try:
        cloudevent = CloudEvent(dict(attributes), data).get_attributes()
        return Event(
            id=cloudevent["id"],
            source=cloudevent["source"],
            type=cloudevent["type"],
            time=cloudevent["time"],
            data=data,
            extensions={name: _text(name, value) for name, value in attributes.items() if name not in _KNOWN},
            **{name: attributes.get(name) for name in OPTIONAL_ATTRIBUTES},
        )
    except ValidationError as error:
        raise _invalid(error) from error
    except CloudEventValidationError as error:
        raise CodecError(*(f"{printable(n)}: {one_line(why[0])}" for n, why in error.errors.items())) from error
    except (BaseCloudEventException, UnicodeEncodeError, TypeError) as error:
        raise refusal(error) from error


def _is_plain(attributes: Mapping[str, Any]) -> bool:
    """Whether the SDK, or anybody before it, could refuse nothing but the time, as with nearly every event: only
    attributes that the lab knows, each a text that is not empty and has no NUL. It costs a tenth of asking each."""
    texts = attributes.values()
    return (
        _ALL_OF_PLAIN <= attributes.keys() <= _KNOWN
        and set(map(type, texts)) == _TEXT_ALONE
        and attributes["specversion"] == "1.0"
        and "" not in texts
        and "\x00" not in "".join(texts)
    )


def _plain_event(attributes: Mapping[str, Any], time: datetime, data: Any) -> Event:
    if not isinstance(data, dict):
        raise CodecError(_NO_OBJECT)
    given = {**attributes, "time": time, "data": data}
    for name in _NOT_KEPT & given.keys():
        del given[name]
    try:
        return Event.model_validate(given)
    except ValidationError as error:
        raise _invalid(error) from error


def _invalid(error: ValidationError) -> CodecError:
    return CodecError(*(f"{_place(e['loc'])}: {e['msg']}" for e in error.errors()))


def check_required(attributes: Mapping[str, Any]) -> None:
    """Raises CodecError unless all attributes that every event has are there."""
    if not attributes.keys() >= _ALL_REQUIRED:
        missing = [name for name in _REQUIRED if name not in attributes]
        raise CodecError(*(f"{name}: is missing" for name in missing))


def time_of(text: str) -> datetime:
    """A time as RFC 3339 writes it, to the microsecond; raises CodecError."""
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise CodecError(f"time: {printable(str(error))}") from error


def data_from(body: bytes, content_type: str | None) -> Any:
    """The JSON value in the data's bytes; JSON too if nothing says what they are. Raises CodecError."""
    check_content_type(content_type)
    if not body:
        raise CodecError("data: is missing")
    try:
        return parse(body)
    except ValueError as error:
        raise CodecError(f"data: is not JSON: {one_line(error)}") from error


@lru_cache(maxsize=64)  # refusals are not kept, and what is JSON is written in a few ways
def check_content_type(content_type: str | None) -> None:
    """Raises CodecError unless it is JSON in UTF-8, or not said."""
    if content_type is None:
        return
    kind = content_type.partition(";")[0].strip()
    charset = (_CHARSET.findall(content_type) or [""])[0].lower()
    if _JSON.fullmatch(kind) is None or charset not in _UTF8:
        raise CodecError(f"datacontenttype: {printable(content_type[:100])!r} is not JSON in UTF-8")


def data_base64_from(text: Any, content_type: str | None) -> Any:
    """As `data_from`, from base64."""
    try:
        body = base64.b64decode(text, validate=True)
    except (ValueError, TypeError) as error:
        raise CodecError(f"data_base64: {one_line(error)}") from error
    return data_from(body, content_type)


def refusal(error: BaseException) -> CodecError:
    """What is said of bytes of which nothing better is known."""
    return CodecError(f"event: not a CloudEvent: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """The error's words in one line of at most 500 characters."""
    return " ".join(printable(str(error)).split())[:500] or type(error).__name__


def _text(name: str, value: Any) -> str:
    """An attribute's value as CloudEvents writes it down: booleans in small letters, whole numbers in digits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        if fault := unstorable(str(value), name):
            raise CodecError(fault)
        return str(value)
    raise CodecError(f"{printable(name)}: must be text, a whole number or a boolean")


def _place(location: tuple[int | str, ...]) -> str:
    # An extension stands beside the others, as far as the sender knows.
    parts = location[1:] if len(location) > 1 and location[0] == "extensions" else location
    return ".".join(map(str, parts))
