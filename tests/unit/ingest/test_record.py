"""Ingest's own way to a record writes the same as the codec, whatever the event holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.catalog import key_for
from schemas.codec import decode_attributes, encode
from schemas.envelope import Event
from services.ingest.record import record_of

EXAMPLES = sorted((Path(__file__).parents[3] / "schemas" / "examples").glob("*/*.json"))
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


def same(event: Event) -> None:
    ours, sdk = record_of(event, key_for(event)), encode(event)
    assert (ours.key, ours.headers) == (sdk.key, sdk.headers)
    assert repr(json.loads(ours.value)) == repr(json.loads(sdk.value))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_examples(path: Path) -> None:
    same(decode_attributes(json.loads(path.read_text("utf-8"))))


@settings(max_examples=500, deadline=None)
@given(
    st.dictionaries(TEXT, JSON, max_size=4),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("subject", "causationid", "traceparent", "dataschema"), TEXT)),
    st.dictionaries(st.text("abcz09", min_size=1, max_size=5), TEXT, max_size=2),
    st.sampled_from([UTC, timezone(timedelta(hours=-3))]),
)
def test_anything(data: dict[str, Any], optional: dict[str, str], extensions: dict[str, str], zone: timezone) -> None:
    time = datetime(2026, 3, 2, 1, 2, 3, 40_000, zone)
    same(Event(id="é", source="s", type="my.type", time=time, data=data, extensions=extensions, **optional))
