"""Each way in which a new schema can refuse data of an older one is found, named by its field, and told what to do."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.compatibility import Kind, breaks, breaks_with_any

Schema = dict[str, Any]


def closed(required: tuple[str, ...] = (), **properties: Any) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
NUMBER = {"type": "number"}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}], "default": None}


def field(old: Any, new: Any) -> tuple[Schema, Schema]:
    return closed(a=old), closed(a=new)


@pytest.mark.parametrize(
    ("old", "new", "kind", "path"),
    [
        (closed(a=TEXT, b=TEXT), closed(a=TEXT), Kind.REMOVED_FIELD, "b"),
        ({"properties": {"a": TEXT}}, {"properties": {}}, Kind.REMOVED_FIELD, "a"),
        (closed(a=TEXT), closed(("b",), a=TEXT, b=TEXT), Kind.NEW_REQUIRED_FIELD, "b"),
        (closed(a=TEXT), closed(("a",), a=TEXT), Kind.NEW_REQUIRED_FIELD, "a"),
        (*field(TEXT, WHOLE), Kind.NARROWED_TYPE, "a"),
        (*field(NUMBER, WHOLE), Kind.NARROWED_TYPE, "a"),
        (*field({}, TEXT), Kind.NARROWED_TYPE, "a"),
        (*field(nullable(TEXT), TEXT), Kind.NARROWED_TYPE, "a"),
        (*field({"type": ["string", "null"]}, TEXT), Kind.NARROWED_TYPE, "a"),
        (*field({"anyOf": [TEXT, WHOLE]}, {"anyOf": [TEXT, {"type": "boolean"}]}), Kind.NARROWED_TYPE, "a"),
        (*field({"enum": ["x", "y"]}, {"enum": ["x"]}), Kind.NARROWED_VALUES, "a"),
        (*field(TEXT, {"type": "string", "enum": ["x"]}), Kind.NARROWED_VALUES, "a"),
        (*field({"const": "x"}, {"const": "y"}), Kind.NARROWED_VALUES, "a"),
        (*field({"enum": [1]}, {"enum": [True]}), Kind.NARROWED_VALUES, "a"),
        (*field({"enum": ["x", 1]}, TEXT), Kind.NARROWED_TYPE, "a"),
        (*field(WHOLE, {"type": "integer", "minimum": 0}), Kind.NARROWED_BOUND, "a"),
        (*field({**NUMBER, "minimum": 0}, {**NUMBER, "exclusiveMinimum": 0}), Kind.NARROWED_BOUND, "a"),
        (*field({**NUMBER, "maximum": 5}, {**NUMBER, "maximum": 4}), Kind.NARROWED_BOUND, "a"),
        (*field({**NUMBER, "multipleOf": 3}, {**NUMBER, "multipleOf": 2}), Kind.NARROWED_BOUND, "a"),
        (*field(TEXT, {**TEXT, "minLength": 1}), Kind.NARROWED_BOUND, "a"),
        (*field({**TEXT, "maxLength": 9}, {**TEXT, "maxLength": 8}), Kind.NARROWED_BOUND, "a"),
        (*field({"type": "array"}, {"type": "array", "maxItems": 3}), Kind.NARROWED_BOUND, "a"),
        (*field({"type": "array"}, {"type": "array", "uniqueItems": True}), Kind.NARROWED_BOUND, "a"),
        (*field({"type": "object"}, {"type": "object", "minProperties": 1}), Kind.NARROWED_BOUND, "a"),
        (*field(TEXT, {**TEXT, "pattern": "^x"}), Kind.NARROWED_PATTERN, "a"),
        (*field({**TEXT, "pattern": "^x"}, {**TEXT, "pattern": "^xy"}), Kind.NARROWED_PATTERN, "a"),
        (*field(TEXT, {**TEXT, "format": "date-time"}), Kind.NARROWED_PATTERN, "a"),
        ({"type": "object"}, closed(), Kind.CLOSED_OBJECT, "data"),
        ({"patternProperties": {"^x": {}}, "additionalProperties": False}, closed(), Kind.NARROWED_TYPE, "data"),
        (
            {"type": "object", "patternProperties": {"^x": {}}, "additionalProperties": False},
            closed(),
            Kind.CLOSED_OBJECT,
            "data",
        ),
        (
            *field({"type": "object", "additionalProperties": TEXT}, {"type": "object", "additionalProperties": WHOLE}),
            Kind.NARROWED_TYPE,
            "a.*",
        ),
        (
            {"type": "object", "additionalProperties": TEXT},
            {"type": "object", "properties": {"b": WHOLE}, "additionalProperties": TEXT},
            Kind.NARROWED_TYPE,
            "b",
        ),
        (*field({"type": "array", "items": TEXT}, {"type": "array", "items": WHOLE}), Kind.NARROWED_TYPE, "a[]"),
        (*field({"type": "array"}, {"type": "array", "prefixItems": [TEXT]}), Kind.NARROWED_TYPE, "a[0]"),
        (*field(closed(b=closed(c=TEXT)), closed(b=closed(c=WHOLE))), Kind.NARROWED_TYPE, "a.b.c"),
        (*field(nullable(closed(b=TEXT)), nullable(closed())), Kind.REMOVED_FIELD, "a.b"),
        (*field(TEXT, {**TEXT, "not": {"const": "x"}}), Kind.INCOMPARABLE, "a"),
        (*field({"not": {"const": "x"}}, {"not": {"const": "y"}}), Kind.INCOMPARABLE, "a"),
        (*field({"oneOf": [WHOLE, NUMBER]}, {"oneOf": [NUMBER, WHOLE]}), Kind.INCOMPARABLE, "a"),
        (closed(a=TEXT), {**closed(a=TEXT), "unevaluatedProperties": False}, Kind.INCOMPARABLE, "data"),
        (closed(a=TEXT), closed(a={"$ref": "https://example.org/a.json"}), Kind.INCOMPARABLE, "data"),
        (closed(a=TEXT), closed(a={"$ref": "#/$defs/none"}), Kind.INCOMPARABLE, "data"),
        (closed(a=TEXT), closed(a={"$ref": "#/properties/a"}), Kind.INCOMPARABLE, "data"),
        (closed(a=TEXT), closed(a=False), Kind.INCOMPARABLE, "a"),
    ],
)
def test_a_break_is_found_with_its_kind_and_field(old: Schema, new: Schema, kind: Kind, path: str) -> None:
    found = breaks(old, new)

    assert [(one.kind, one.field) for one in found] == [(kind, path)]
    assert found[0].was != found[0].now
    assert str(found[0]).startswith(f"{path}: ")
    assert found[0].remedy in str(found[0])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (closed(a=TEXT), closed(a=TEXT, b=TEXT)),
        (closed(("a",), a=TEXT), closed(a=TEXT)),
        (closed(a=TEXT), {**closed(a=TEXT), "additionalProperties": True}),
        ({"type": "object"}, {"type": "object", "properties": {"a": TEXT}}),
        field(WHOLE, NUMBER),
        field(TEXT, nullable(TEXT)),
        field(TEXT, {}),
        field(TEXT, True),
        field(False, TEXT),
        field(nullable(TEXT), {"type": ["null", "string"]}),
        field({"type": ["string", "null"], "minLength": 1}, nullable({**TEXT, "minLength": 1})),
        field({"const": "x"}, {"enum": ["x", "y"]}),
        field({"enum": ["x", "y"], "type": "string"}, TEXT),
        field({**TEXT, "pattern": "^x", "maxLength": 3}, TEXT),
        field({**NUMBER, "exclusiveMinimum": 0}, {**NUMBER, "minimum": 0}),
        field({**NUMBER, "multipleOf": 6}, {**NUMBER, "multipleOf": 3}),
        field(TEXT, {**TEXT, "minLength": 0}),
        field(TEXT, {**TEXT, "minimum": 3}),
        field({"not": {"const": "x"}}, {"not": {"const": "x", "title": "X"}}),
        field({"oneOf": [TEXT, WHOLE]}, {"anyOf": [WHOLE, TEXT]}),
        field({"title": "A", **TEXT}, {"description": "Another", **TEXT}),
        (
            {**closed(a={"$ref": "#/$defs/A"}), "$defs": {"A": TEXT}},
            {**closed(a={"$ref": "#/$defs/B", "description": "renamed"}), "$defs": {"B": TEXT}},
        ),
    ],
)
def test_what_takes_everything_that_was_taken_is_no_break(old: Schema, new: Schema) -> None:
    assert breaks(old, new) == []
    assert breaks(old, old) == breaks(new, new) == []


def test_deleting_a_field_and_adding_it_again_with_another_type_breaks_with_the_oldest_version() -> None:
    first, second, third = closed(a=TEXT, b=TEXT), closed(a=TEXT), closed(a=TEXT, b=WHOLE)

    assert breaks(second, third) == []
    (found,) = breaks_with_any([first, second], third)
    assert (found.field, found.kind, found.version) == ("b", Kind.NARROWED_TYPE, 1)
    assert "was string in version 1, is integer" in str(found)


def test_a_break_with_several_versions_is_told_once() -> None:
    assert len(breaks_with_any([closed(a=TEXT), closed(a=TEXT, b=TEXT)], closed(a=WHOLE, b=TEXT))) == 1


def test_every_break_is_told_at_once() -> None:
    found = breaks(closed(a=TEXT, b=WHOLE, c=TEXT), closed(("d",), a=WHOLE, b=WHOLE, d=TEXT))

    assert {(one.field, one.kind) for one in found} == {
        ("a", Kind.NARROWED_TYPE), ("c", Kind.REMOVED_FIELD), ("d", Kind.NEW_REQUIRED_FIELD),
    }  # fmt: skip


def tree(**more: Any) -> Schema:
    node = closed(children={"type": "array", "items": {"$ref": "#/$defs/Tree"}}, **more)
    return {"$ref": "#/$defs/Tree", "$defs": {"Tree": node}}


def test_a_schema_that_contains_itself_is_compared() -> None:
    assert breaks(tree(), tree(name=TEXT)) == []
    assert [one.field for one in breaks(tree(name=TEXT), tree())] == ["children[].name", "name"]


def test_alternatives_without_end_are_refused_instead_of_tried() -> None:
    node: Any = TEXT
    for number in range(14):
        node = {"anyOf": [closed(**{f"{side}{number}": node}) for side in "abcd"]}
    doubling = {f"A{n}": {"anyOf": [{"$ref": f"#/$defs/A{n + 1}"}] * 2} for n in range(40)} | {"A40": TEXT}
    spread = {"$ref": "#/$defs/A0", "$defs": doubling}
    kept = {"allOf": [{"$ref": "#/$defs/A0"}], "$defs": doubling}

    assert [one.kind for one in breaks(node, {"anyOf": [node, WHOLE]})] == [Kind.INCOMPARABLE]
    assert [one.kind for one in breaks(TEXT, spread)] == [Kind.INCOMPARABLE]
    assert breaks(kept, {**kept, "title": "x"}) == []
    assert [one.kind for one in breaks(kept, {**kept, "$defs": {**doubling, "A40": WHOLE}})] == [Kind.INCOMPARABLE]


LEAVES: list[Any] = [
    True, False, {}, TEXT, WHOLE, NUMBER, {"type": "boolean"}, {"type": "null"}, {"type": ["integer", "string"]},
    {"enum": ["a", 1]}, {"const": "a"}, {"enum": [1, 2]}, {**WHOLE, "minimum": 1}, {**NUMBER, "exclusiveMinimum": 1},
    {**NUMBER, "maximum": 1}, {"minimum": 2}, {**WHOLE, "multipleOf": 2}, {**TEXT, "minLength": 2}, {"maxLength": 1},
    {**TEXT, "pattern": "^a"}, {"not": TEXT}, {"oneOf": [WHOLE, {"minimum": 2}]}, {"oneOf": [TEXT, WHOLE]},
    {"allOf": [WHOLE, {"minimum": 2}]}, {"if": TEXT, "then": {"minLength": 2}}, {"contains": WHOLE},
]  # fmt: skip
SCHEMAS = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
        inner.map(lambda one: {"type": "array", "items": one}),
        st.tuples(inner, inner).map(lambda two: {"type": "array", "prefixItems": [two[0]], "items": two[1]}),
        st.tuples(inner, inner).map(lambda two: {"$ref": "#/$defs/X", "$defs": {"X": {"anyOf": list(two)}}}),
        st.tuples(inner, inner, st.sampled_from([[], ["a"]]), st.booleans()).map(
            lambda t: {
                "type": "object",
                "properties": {"a": t[0]},
                "required": t[2],
                # Fields that no schema names are taken to be absent, so the extra ones are a schema or none.
                "additionalProperties": t[1] if t[3] else False,
            }
        ),
    ),
    max_leaves=5,
)
SCALARS: list[Any] = [None, True, False, 0, 1, 2, 3, 1.5, "", "a", "b", "ab", [], {}]
VALUES: list[Any] = [
    *SCALARS, *([one] for one in SCALARS), *([one, 2] for one in SCALARS), ["a", "b", None],
    *({"a": one} for one in SCALARS), *({"b": one} for one in SCALARS), {"a": 1, "b": "a"}, {"a": {"a": 1}}, [[1]],
]  # fmt: skip


def rooted(schema: Any) -> Any:
    """Only the document itself may have definitions; ours are made inside, so they are replaced by what they say."""
    if isinstance(schema, dict) and "$ref" in schema:
        return rooted(schema["$defs"]["X"])
    if isinstance(schema, dict):
        return {key: rooted(value) for key, value in schema.items()}
    return [rooted(one) for one in schema] if isinstance(schema, list) else schema


@settings(max_examples=1_500, deadline=None)
@given(SCHEMAS, SCHEMAS)
def test_a_value_that_fitted_fits_still_wherever_no_break_is_found(old: Any, new: Any) -> None:
    old, new = rooted(old), rooted(new)
    if breaks(old if isinstance(old, dict) else {"anyOf": [old]}, new if isinstance(new, dict) else {"anyOf": [new]}):
        return
    before, after = jsonschema_rs.validator_for(old), jsonschema_rs.validator_for(new)

    assert [value for value in VALUES if before.is_valid(value) and not after.is_valid(value)] == []


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a schema stands in a schema, or a rule that may be dropped."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    below = [place for key, value in items if key not in {"enum", "required"} for place in places(value, (*path, key))]
    return ([path] if path and path[-1] != "properties" else []) + below


@settings(max_examples=2_000, deadline=None)
@given(SCHEMAS, st.data())
def test_a_value_that_fitted_fits_still_after_any_change_that_is_no_break(schema: Any, draw: st.DataObject) -> None:
    old = {"anyOf": [rooted(schema)]}
    new = json.loads(json.dumps(old))
    *way, last = draw.draw(st.sampled_from(places(old)))
    at = new
    for step in way:
        at = at[step]
    if isinstance(at, dict) and last not in {"anyOf", "a"} and draw.draw(st.booleans()):
        del at[last]
    elif isinstance(at[last], bool | dict):
        at[last] = draw.draw(st.sampled_from(LEAVES))
    if breaks(old, new):
        return
    before, after = jsonschema_rs.validator_for(old), jsonschema_rs.validator_for(new)

    assert [value for value in VALUES if before.is_valid(value) and not after.is_valid(value)] == []
