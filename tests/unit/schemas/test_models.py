"""Every field of every event says what it is, and a number in which unit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.catalog import EVENT_TYPES
from schemas.envelope import EventData

# Units end the name; a count says in words what it counts.
_UNIT_IN_NAME = re.compile(r"_(bytes|s|ms|us|code|version)$")
_UNIT_IN_WORDS = re.compile(r"\b(rows|attempts|version|unit|standard deviations|score)\b", re.IGNORECASE)


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for node in (schema, *schema.get("$defs", {}).values()):
        yield from node.get("properties", {}).items()


@pytest.mark.parametrize("model", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_every_field_is_described_and_every_number_has_a_unit(model: type[EventData]) -> None:
    schema = model.model_json_schema()

    assert model.__doc__
    assert model.__doc__ != EventData.__doc__
    assert [name for name, field in fields(schema) if len(field.get("description", "")) < 10] == []
    assert [
        name
        for name, field in fields(schema)
        if {"integer", "number"} & {field.get("type"), *(branch.get("type") for branch in field.get("anyOf", []))}
        and not _UNIT_IN_NAME.search(name)
        and not _UNIT_IN_WORDS.search(field["description"])
    ] == []
