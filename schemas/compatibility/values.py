"""Comparing what two schemas of at most one type each say about a single value: type, values, bounds, patterns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from schemas.compatibility.alternatives import Schema
from schemas.compatibility.findings import Break, Kind, shown

_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
_LEAST = {"minLength": "string", "minItems": "array", "minProperties": "object"}
_MOST = {"maxLength": "string", "maxItems": "array", "maxProperties": "object"}
_SAME = {"pattern": "string", "format": "string", "contentEncoding": "string", "contentMediaType": "string"}


def type_name(schema: Any) -> str:
    """How people call what a schema allows, such as `string`, `one of ["a", "b"]` or `any value`."""
    if not isinstance(schema, dict):
        return "any value"
    if (values := finite(schema)) is not None:
        return f"one of {shown(values)}"
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2] or "the whole"
    if isinstance(branches := schema.get("anyOf", schema.get("oneOf")), list):
        return " or ".join(type_name(branch) for branch in branches)
    kind = schema.get("type", "any value")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def finite(schema: Schema) -> list[Any] | None:
    """The values that a schema lists, None if it lists none."""
    return [schema["const"]] if "const" in schema else schema.get("enum")


def value_breaks(old: Schema, new: Schema, path: str) -> list[Break]:
    """What the new schema forbids about a value itself and the old one did not. A break of type comes alone."""
    was, now = finite(old), finite(new)
    if not _type_fits(old, was, new):
        return [Break(path, Kind.NARROWED_TYPE, type_name(old), type_name(new))]
    if now is not None:
        if was is None:
            return [Break(path, Kind.NARROWED_VALUES, type_name(old), type_name(new))]
        missing = [value for value in was if _canonical(value) not in {_canonical(one) for one in now}]
        return [Break(path, Kind.NARROWED_VALUES, shown(was), f"without {shown(missing)}")] if missing else []
    return [*_bounds(old, new, path), *_lengths(old, new, path), *_same(old, new, path)]


def _type_fits(old: Schema, values: list[Any] | None, new: Schema) -> bool:
    wanted = new.get("type")
    if wanted is None:
        return True
    if values is not None:
        return all(_is_of(_TYPES.get(type(value), "null"), wanted) for value in values)
    return "type" in old and _is_of(old["type"], wanted)


def _is_of(kind: str, wanted: str) -> bool:
    return kind == wanted or (kind == "integer" and wanted == "number")


def _bounds(old: Schema, new: Schema, path: str) -> Iterator[Break]:
    """Numbers: a bound is a value and whether the value itself is out."""
    if old.get("type", "number") not in {"number", "integer"}:
        return
    for side, sign in (("inimum", 1), ("aximum", -1)):
        was, now = _bound(old, side, sign), _bound(new, side, sign)
        if now is not None and (was is None or now > was):
            words = (f"m{side}", f"exclusiveM{side}")
            yield Break(path, Kind.NARROWED_BOUND, _said(old, *words), _said(new, *words))
    step = new.get("multipleOf")
    if step is not None and ("multipleOf" not in old or old["multipleOf"] % step != 0):
        yield Break(path, Kind.NARROWED_BOUND, _said(old, "multipleOf"), _said(new, "multipleOf"))


def _bound(schema: Schema, side: str, sign: int) -> tuple[float, bool] | None:
    found = [
        (sign * schema[word], word.startswith("ex")) for word in (f"m{side}", f"exclusiveM{side}") if word in schema
    ]
    return max(found, default=None)


def _lengths(old: Schema, new: Schema, path: str) -> Iterator[Break]:
    for words, sign in ((_LEAST, 1), (_MOST, -1)):
        for word, kind in words.items():
            if new.get(word, 0) == 0 and words is _LEAST:  # no bound at all
                continue
            if word not in new or old.get("type", kind) != kind:
                continue
            if word not in old or sign * new[word] > sign * old[word]:
                yield Break(path, Kind.NARROWED_BOUND, _said(old, word), _said(new, word))
    if new.get("uniqueItems") and not old.get("uniqueItems") and old.get("type", "array") == "array":
        yield Break(path, Kind.NARROWED_BOUND, _said(old, "uniqueItems"), _said(new, "uniqueItems"))


def _same(old: Schema, new: Schema, path: str) -> Iterator[Break]:
    for word, kind in _SAME.items():
        if word in new and new[word] != old.get(word) and old.get("type", kind) == kind:
            yield Break(path, Kind.NARROWED_PATTERN, _said(old, word), _said(new, word))


def _said(schema: Schema, *words: str) -> str:
    return ", ".join(f"{word} {shown(schema[word])}" for word in words if word in schema) or f"no {words[0]}"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
