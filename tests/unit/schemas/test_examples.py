"""Every event type has at least two examples, and each is a valid event that survives the wire."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.catalog import EVENT_TYPES, key_for, parse_data
from schemas.codec import decode, decode_attributes, encode, to_structured

EXAMPLES = Path(__file__).parents[3] / "schemas" / "examples"
FILES = sorted(EXAMPLES.glob("*/*.json"))
# What an event of the type never carries, though its model, which it shares, has the field.
NEVER = {
    "lab.run.scheduled.v1": {"end_time"},
    "lab.run.started.v1": {"end_time"},
    "lab.run.late.v1": {"start_time", "end_time", "duration_s"},
    "lab.alert.firing.v1": {"ends_at"},
    "lab.notification.delivered.v1": {"reason"},
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_is_valid_and_survives_the_wire(path: Path) -> None:
    written = json.loads(path.read_text("utf-8"))
    event = decode_attributes(written)

    assert event.type == path.parent.name
    assert event.subject == parse_data(event).subject()
    assert decode(*encode(event)) == event
    assert encode(event).key == key_for(event).encode()
    assert decode_attributes(to_structured(event)) == event


def test_every_type_has_two_examples_and_no_example_is_of_an_unknown_type() -> None:
    counts = {type_: len(list((EXAMPLES / type_).glob("*.json"))) for type_ in EVENT_TYPES}

    assert {type_: count for type_, count in counts.items() if count < 2} == {}
    assert {path.parent.name for path in FILES} == set(EVENT_TYPES)


@pytest.mark.parametrize("type_", EVENT_TYPES)
def test_one_example_has_only_what_is_required_and_one_has_all(type_: str) -> None:
    fields = EVENT_TYPES[type_].model_fields
    shown = [set(json.loads(path.read_text("utf-8"))["data"]) for path in (EXAMPLES / type_).glob("*.json")]

    assert {name for name, field in fields.items() if field.is_required()} in shown
    assert set(fields) - NEVER.get(type_, set()) in shown
