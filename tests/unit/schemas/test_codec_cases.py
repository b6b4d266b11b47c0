"""13,000 made-up cases of the codec: what is written is read again as it was; whatever is read, nothing but CodecError.

Bound in time by the test's own limit: a case that hangs fails it.
"""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta, timezone
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from schemas import attributes
from schemas.codec import CodecError, decode, decode_attributes, encode, to_structured
from schemas.envelope import OPTIONAL_ATTRIBUTES, Event

pytestmark = pytest.mark.timeout(120)
CASES: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
NAMED = TEXT.filter(bool)
KNOWN = {"specversion", "id", "source", "type", "time", "datacontenttype", "data", *OPTIONAL_ATTRIBUTES}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
EVENTS = st.builds(
    Event,
    id=NAMED,
    source=NAMED,
    type=st.just("my.type"),
    # Zones to the minute, as RFC 3339 has them.
    time=st.datetimes(timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))),
    data=st.dictionaries(TEXT, JSON, max_size=4),
    extensions=st.dictionaries(
        st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True).filter(lambda name: name not in KNOWN),
        TEXT,
        max_size=3,
    ),
    **{name: st.none() | NAMED for name in OPTIONAL_ATTRIBUTES},
)  # fmt: skip
# With halves of surrogate pairs and NUL, as Python's own JSON reader lets them through.
ANY_TEXT = st.text(st.characters(), max_size=12)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*sorted(KNOWN), "data_base64", "partitionkey", "Id", "", "é"])
SOUND = {"specversion": "1.0", "id": "e1", "source": "s", "type": "my.type", "time": "2026-03-02T09:15:00Z", "data": {}}
HEADER_NAMES = NAMES.map(lambda name: f"ce_{name}") | st.sampled_from(["content-type", "Content-Type", "other"])
HEADER_VALUES = st.binary(max_size=12) | st.sampled_from(
    [b"1.0", b"application/json", b"application/cloudevents+json", b"2026-03-02T09:15:00Z", b"text/plain", b""]
)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b'{"a":1,"a":2}', b"[" * 5000, b'{"a":' * 150 + b"1" + b"}" * 150, b"1e400", b"-", b"{}"]),
    JSON.map(lambda value: json.dumps(value).encode()),
    ANY_TEXT.map(lambda text: json.dumps({"a": text}).encode()),
)  # fmt: skip


def sound(event: Event) -> None:
    """Whatever was read can be written, stored and read again."""
    assert decode_attributes(json.loads(json.dumps(to_structured(event), allow_nan=False))) == event
    event.model_dump_json().encode()


@settings(max_examples=4_000, **CASES)
@given(EVENTS)
def test_what_is_written_is_read_again(event: Event) -> None:
    assert decode(*encode(event)) == event
    assert decode(None, json.dumps(to_structured(event)).encode(), []) == event


@settings(max_examples=4_000, **CASES)
@given(st.none() | BODIES, st.lists(st.tuples(HEADER_NAMES, st.none() | HEADER_VALUES), max_size=7))
def test_any_record_is_an_event_or_refused(value: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
    with contextlib.suppress(CodecError):
        sound(decode(None, value, headers))


@settings(max_examples=2_500, **CASES)
@given(BODIES, st.dictionaries(HEADER_NAMES, st.none() | HEADER_VALUES, max_size=2))
def test_a_record_with_something_odd_is_an_event_or_refused(value: bytes, odd: dict[str, bytes | None]) -> None:
    headers = {f"ce_{name}": text.encode() for name, text in SOUND.items() if isinstance(text, str)}
    with contextlib.suppress(CodecError):
        sound(decode(None, value, list({**headers, **odd}.items())))


@settings(max_examples=2_500, **CASES)
@given(st.dictionaries(NAMES | ANY_TEXT, ANY, max_size=3))
def test_any_object_is_an_event_or_refused(odd: dict[str, Any]) -> None:
    with contextlib.suppress(CodecError):
        event = decode_attributes({**SOUND, **odd})
        assert event.type == odd.get("type", "my.type")


@settings(max_examples=400, **CASES)
@given(st.dictionaries(NAMES | ANY_TEXT, ANY | st.sampled_from(["1.0", "2026-03-02T09:15:00", "x"]), max_size=3))
def test_events_that_the_sdk_is_not_asked_about_are_those_that_it_takes_as_they_are(odd: dict[str, Any]) -> None:
    assume(odd.get("time", "") is not None)  # an event without a time gets the present

    def read() -> Event | tuple[str, ...]:
        try:
            return decode_attributes({**SOUND, **odd})
        except CodecError as error:
            return error.faults

    found = read()
    with patch.object(attributes, "_is_plain", return_value=False):
        assert read() == found
