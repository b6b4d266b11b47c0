"""A schema that users may register is a real one; its faults name the field; nothing hangs and nothing is fetched."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.user_types import SIZE_LIMIT, SchemaError, compile_schema

ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "placed": {"type": "string", "format": "date-time"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
        "code": {"type": "string", "pattern": "^[A-Z]{3}$"},
    },
    "required": ["id"],
    "additionalProperties": False,
    "$defs": {"Line": {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}},
}


@pytest.mark.parametrize(
    ("data", "faults"),
    [
        ({"id": 1}, []),
        ({"id": 1, "lines": [{"sku": "a"}], "placed": "2026-03-02T09:15:00Z", "code": "ABC"}, []),
        ({"id": 2**60}, []),
        ({}, ["id: is missing"]),
        ({"id": 0}, ["id: 0 is less than the minimum of 1"]),
        ({"id": "1"}, ['id: "1" is not of type "integer"']),
        ({"id": 1, "lines": [{"sku": "a"}, {}]}, ["lines.1.sku: is missing"]),
        ({"id": 1, "other": 1}, ["other: is not a field of this type"]),
        ({"id": 1, "placed": "yesterday"}, ['placed: "yesterday" is not a "date-time"']),
        ({"id": 1, "code": "abc"}, ['code: "abc" does not match "^[A-Z]{3}$"']),
        ([], ['data: [] is not of type "object"']),
    ],
)
def test_a_fault_names_its_field(data: Any, faults: list[str]) -> None:
    assert compile_schema(ORDER)(data) == faults


def test_all_faults_are_told_but_no_flood_of_them() -> None:
    faults = compile_schema(ORDER)

    assert {fault.partition(":")[0] for fault in faults({"code": 5, "placed": 5})} == {"id", "code", "placed"}
    assert len(faults({"id": 1, "lines": [{}] * 1000})) == 20
    assert len(faults({"id": 1, "code": "x" * 10_000})[0]) < 400


@pytest.mark.parametrize("data", [{"id": 1, "code": "\ud800"}, {"\ud800": 1}, {"id": object()}, {1: 2}])
def test_what_no_json_text_can_hold_is_a_fault(data: Any) -> None:
    assert len(compile_schema(ORDER)(data)) == 1


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "objekt"}, r"^type: "),
        ({"properties": {"a": {"minimum": "x"}}}, r"^properties\.a\.minimum: "),
        ({"required": "a"}, r"^required: "),
        ({"type": "array"}, r"^type: the data of an event is an object"),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#"},
            r"^\$schema: must be https://json-schema\.org/draft/2020",
        ),
        ({"properties": {"a": {"$ref": "http://127.0.0.1/x.json"}}}, r"^properties\.a\.\$ref: only references within"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, r"^properties\.a\.\$ref: only references within"),
        ({"allOf": [{"$ref": "other.json"}]}, r"^allOf\.0\.\$ref: only references within"),
        ({"$dynamicRef": "https://example.org/a#b"}, r"^\$dynamicRef: only references within"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, r"none"),
        ({"properties": {"a": {"pattern": "("}}}, r"^properties\.a\.pattern: "),
        ({"properties": {"a": {"pattern": "(a)\\1"}}}, r"^properties\.a\.pattern: "),
        ({"properties": {"a": {"pattern": "(?=a)"}}}, r"^properties\.a\.pattern: "),
        ({"title": "x" * SIZE_LIMIT}, r"^schema: has \d+ bytes"),
        ({"default": float("nan")}, r"^schema: is not JSON"),
        ({"title": "\ud800"}, r"^schema: is not JSON"),
    ],
)
def test_what_is_no_schema_is_refused_by_its_place(schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        compile_schema(schema)


def test_a_schema_that_is_too_deep_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(100_000):
        schema = {"not": schema}

    with pytest.raises(SchemaError, match="64 levels"):
        compile_schema(schema)


def test_a_field_may_be_called_like_a_word_of_json_schema() -> None:
    words = {name: {"type": "string"} for name in ("$ref", "const", "default", "enum", "properties")}
    faults = compile_schema({"properties": words, "default": {"$ref": "http://example.org"}})

    assert faults({"$ref": "http://example.org", "const": "a"}) == []
    assert faults({"const": 1}) == ['const: 1 is not of type "string"']


def test_a_pattern_that_others_never_finish_is_quick() -> None:
    faults = compile_schema({"properties": {"a": {"pattern": "^(a+)+$"}}})

    assert len(faults({"a": "a" * 50_000 + "!"})) == 1


def chain(levels: int) -> dict[str, Any]:
    data: dict[str, Any] = {"next": 5}
    for _ in range(levels):
        data = {"next": data}
    return data


TWICE = [{"$ref": "#"}, {"$ref": "#"}]
NEXT = {"properties": {"next": {"$ref": "#"}}}
DOUBLING = {f"A{n}": {"allOf": [{"$ref": f"#/$defs/A{n + 1}"}] * 2} for n in range(40)} | {"A40": {"type": "string"}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"next": {"anyOf": TWICE}}},
        {"type": "object", "properties": {"next": {"oneOf": [*TWICE, {"type": "null"}]}}},
        {"type": "object", "properties": {"next": {"allOf": TWICE}}},
        {"type": "object", "properties": {"next": {"$ref": "#", "allOf": TWICE[:1]}}},
        {"type": "object", "properties": {"next": TWICE[0]}, "patternProperties": {"^n": TWICE[0]}},
        {"type": "object", "properties": {"next": {"$ref": "#", "if": {}, "then": TWICE[0]}}},
        {"type": "object", "properties": {"next": TWICE[0]}, "dependentSchemas": {"next": NEXT}},
        {"allOf": [{"$ref": "#/$defs/A0"}], "$defs": DOUBLING},
    ],
)  # fmt: skip
@pytest.mark.timeout(10)
def test_alternatives_that_multiply_are_judged_quickly(schema: dict[str, Any]) -> None:
    assert compile_schema(schema)(chain(100)) != []


def test_alternatives_without_references_are_told_in_full() -> None:
    faults = compile_schema({"properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}})

    assert faults({"a": None}) == []
    assert faults({"a": "x"}) == ["a: \"x\" is not valid under any of the schemas listed in the 'anyOf' keyword"]


def test_a_fault_among_alternatives_with_references_names_the_field() -> None:
    schema = {
        "properties": {"a": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}},
        "$defs": {"A": {"type": "integer"}},
    }
    faults = compile_schema(schema)

    assert faults({"a": 1}) == faults({"a": None}) == []
    assert faults({"a": "x"}) == ["a: does not fit anyOf of the schema"]


def test_a_reference_into_an_alternative_still_judges() -> None:
    schema = {"anyOf": [{"$ref": "#/$defs/A"}, {"title": "b"}], "properties": {"a": {"$ref": "#/anyOf/0"}}}
    faults = compile_schema({**schema, "$defs": {"A": {"type": "object"}}})

    assert faults({"a": {}}) == []
    assert faults({"a": 5}) == ["data: does not fit the schema"]
