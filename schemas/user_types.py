"""JSON Schemas that users register for event types of their own: is it one, and does an event's data fit it.

Draft 2020-12, by jsonschema-rs (why that one: `bench/validation.py`). Formats are checked. Patterns are those of
an engine that takes linear time, so they have no look-around and no back-references. Nothing is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import jsonschema_rs

from schemas.explaining import DATA, NAMED, explainable

Faults = Callable[[Any], list[str]]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SIZE_LIMIT = 256 * 1024
DEPTH_LIMIT = 64
_FAULTS_TOLD = 20
_REASON_LENGTH = 300


class SchemaError(ValueError):
    """It is no JSON Schema that the lab takes. The message is `field: reason`."""


def compile_schema(schema: dict[str, Any]) -> Faults:
    """What tells the faults of an event's data, `field: reason` each, at most 20, none if it fits; `data` is the whole.

    Raises SchemaError for what is no schema of draft 2020-12, is larger than 256 KiB or deeper than 64 levels, refers
    to another document, or has a pattern that is not linear.
    """
    _check_size(schema)
    if str(schema.get("$schema", DIALECT)).rstrip("#") != DIALECT:
        raise SchemaError(f"$schema: must be {DIALECT}")
    for path, reference in _references(schema, ""):
        if not (isinstance(reference, str) and reference.startswith("#")):
            raise SchemaError(f"{path}: only references within the schema are followed; put {reference!r} into $defs")
    kinds = schema.get("type", "object")
    if kinds != "object" and "object" not in kinds:
        raise SchemaError("type: the data of an event is an object")
    validator = _validator(schema)
    try:
        explainer = _validator(explainable(schema))
    except SchemaError:  # a reference into what was put elsewhere: whether data fits is told all the same
        explainer = None
    return lambda data: _faults(validator, explainer, data)


def _validator(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    try:
        jsonschema_rs.meta.validate({**schema, "$schema": DIALECT})
        return jsonschema_rs.Draft202012Validator(
            schema, validate_formats=True, offline=True, pattern_options=jsonschema_rs.RegexOptions()
        )
    except jsonschema_rs.ValidationError as error:
        raise SchemaError(f"{_path(error.instance_path, 'schema')}: {_shortened(error.message)}") from error
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SchemaError(f"schema: {_shortened(str(error))}") from error


def _faults(
    validator: jsonschema_rs.Draft202012Validator, explainer: jsonschema_rs.Draft202012Validator | None, data: Any
) -> list[str]:
    try:
        # The quick answer first: nearly all events are valid.
        if validator.is_valid(data):
            return []
        errors = islice(explainer.iter_errors(data), _FAULTS_TOLD) if explainer is not None else ()
        return [_fault(error) for error in errors] or ["data: does not fit the schema"]
    except ValueError as error:  # half a surrogate pair, or what no JSON text can hold
        return [f"data: {_shortened(str(error))}"]


def _fault(error: jsonschema_rs.ValidationError) -> str:
    field = _path(error.instance_path, "data")
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Required(name):
            return f"{_below(field, str(name))}: is missing"
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties(names):
            return f"{_below(field, names[0])}: is not a field of this type"
        case jsonschema_rs.ValidationErrorKind.Not({"not": {**words}}):
            return f"{field}: does not fit {', '.join(map(str, words))} of the schema"
    return f"{field}: {_shortened(error.message)}"


def _check_size(schema: dict[str, Any]) -> None:
    pending: list[tuple[Any, int]] = [(schema, 1)]
    while pending:
        node, depth = pending.pop()
        if depth > DEPTH_LIMIT:
            raise SchemaError(f"schema: is more than {DEPTH_LIMIT} levels deep")
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        pending += [(one, depth + 1) for one in inner]
    try:
        size = len(json.dumps(schema, ensure_ascii=False, allow_nan=False).encode())
    except (ValueError, TypeError) as error:
        raise SchemaError(f"schema: is not JSON: {_shortened(str(error))}") from error
    if size > SIZE_LIMIT:
        raise SchemaError(f"schema: has {size} bytes, more than {SIZE_LIMIT}")


def _references(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every reference with its place. Below NAMED, `$ref` is the name of a field."""
    items = enumerate(node) if isinstance(node, list) else node.items() if isinstance(node, dict) else ()
    for key, value in items:
        at = f"{path}.{key}" if path else str(key)
        if key in {"$ref", "$dynamicRef"}:
            yield at, value
        elif key in NAMED and isinstance(value, dict):
            for name, one in value.items():
                yield from _references(one, f"{at}.{name}")
        elif key not in DATA:
            yield from _references(value, at)


def _path(parts: list[str | int], whole: str) -> str:
    return ".".join(map(str, parts)) or whole


def _below(field: str, name: str) -> str:
    return name if field == "data" else f"{field}.{name}"


def _shortened(text: str) -> str:
    line = " ".join(text.encode("ascii", "backslashreplace").decode().split()) if not text.isprintable() else text
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 3] + "..."
