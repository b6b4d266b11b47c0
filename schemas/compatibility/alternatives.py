"""A schema as the list of its alternatives: references followed, anyOf, oneOf and lists of types spread out."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any
from urllib.parse import unquote

Schema = dict[str, Any]
# They say something about a value, and allow or forbid none.
ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$id", "$schema"}
    | {"$anchor", "$defs", "definitions", "discriminator"}
)
# Alternatives within alternatives multiply.
_MOST = 1_000


class UnresolvableError(ValueError):
    """A reference leads nowhere, away from the document, or to itself; or there is too much to spread out."""


def resolved(node: Any, root: Mapping[str, Any]) -> Schema:
    """The schema without a `$ref` of its own; raises UnresolvableError."""
    seen: set[str] = set()
    while isinstance(node, dict) and "$ref" in node:
        reference = node["$ref"]
        if reference in seen:
            raise UnresolvableError(f"$ref {reference!r} leads to itself")
        seen.add(reference)
        node = _merged(target(reference, root), {k: v for k, v in node.items() if k != "$ref"})
    return _as_object(node)


def target(reference: str, root: Mapping[str, Any]) -> Any:
    """What a reference within the document points at; raises UnresolvableError."""
    at: Any = root
    if not (isinstance(reference, str) and (reference == "#" or reference.startswith("#/"))):
        raise UnresolvableError(f"$ref {reference!r}: only references within the schema are followed")
    for part in reference[2:].split("/") if reference != "#" else []:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        try:
            at = at[int(key)] if isinstance(at, list) else at[key]
        except (KeyError, IndexError, ValueError, TypeError):
            raise UnresolvableError(f"$ref {reference!r} leads nowhere") from None
    return at


def alternatives(node: Any, root: Mapping[str, Any]) -> list[Schema]:
    """Schemas of at most one type each, without anyOf; a value fits `node` if it fits one. Raises UnresolvableError."""
    schema = resolved(node, root)
    for word in ("anyOf", "oneOf"):
        branches = schema.get(word)
        if isinstance(branches, list) and (word == "anyOf" or _disjoint([resolved(b, root) for b in branches])):
            rest = {k: v for k, v in schema.items() if k != word}
            spread = [one for branch in branches for one in alternatives(_merged(resolved(branch, root), rest), root)]
            if len(spread) > _MOST:
                raise UnresolvableError(f"more than {_MOST} alternatives in one place")
            return spread
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": name} for name in schema["type"]]
    return [schema]


def meaning(node: Any, root: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The node without annotations, and all that it refers to; two nodes with the same meaning take the same values."""
    targets: dict[str, Any] = {}
    pending = [node]
    while pending:
        at = pending.pop()
        if isinstance(at, dict):
            reference = at.get("$ref")
            if isinstance(reference, str) and reference not in targets:
                found = target(reference, root)
                targets[reference] = _plain(found)
                pending.append(found)
            pending += at.values()
        elif isinstance(at, list):
            pending += at
    return _plain(node), targets


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: _plain(value) for key, value in node.items() if key not in ANNOTATIONS}


def _as_object(node: Any) -> Schema:
    if isinstance(node, dict):
        return node
    return {} if node is not False else {"not": {}}


def _merged(first: Any, second: Schema) -> Schema:
    """Both at once. Where they say something different by the same word, `second` counts and `first` is kept whole."""
    first = _as_object(first)
    clash = any(word in first and first[word] != second[word] for word in second.keys() - ANNOTATIONS)
    return {**first, **second, **({"allOf": [first, *second.get("allOf", [])]} if clash else {})}


def _disjoint(branches: list[Schema]) -> bool:
    """Whether no value can fit two of them, so that oneOf is the same as anyOf."""
    return all(_apart(first, second) for first, second in combinations(branches, 2))


def _apart(first: Schema, second: Schema) -> bool:
    one, other = first.get("type"), second.get("type")
    if isinstance(one, str) and isinstance(other, str) and one != other and {one, other} != {"integer", "number"}:
        return True
    shared = set(first.get("required", [])) & set(second.get("required", []))
    return any(
        (a := _constants(first, name)) is not None and (b := _constants(second, name)) is not None and not a & b
        for name in shared
    )


def _constants(schema: Schema, name: str) -> set[str] | None:
    field = schema.get("properties", {}).get(name, {})
    values = [field["const"]] if "const" in field else field.get("enum")
    return {repr(value) for value in values} if values is not None else None
