"""The same schema in a form whose errors can be listed in time that grows with the data, not with a power of its depth.

Listing errors follows every alternative: a schema that refers to itself twice in one place doubles the work at each
level, and an event of 20 levels would take minutes. Whether data fits at all is always answered quickly.
"""

from __future__ import annotations

from typing import Any

# Words that judge the same value, or the same field, as what stands beside them; in groups that belong together.
_BESIDE = (
    ("anyOf",), ("oneOf",), ("allOf",), ("if", "then", "else"), ("dependentSchemas",), ("patternProperties",),
)  # fmt: skip
# Below these words stand names with schemas, not words of JSON Schema.
NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
# Below these words stands data, in which `$ref` is a name like any other.
DATA = frozenset({"const", "enum", "default", "examples"})


def explainable(schema: Any) -> Any:
    """A schema for the same values. What refers elsewhere and stands beside something is put behind a double `not`, of
    which a validator only asks whether it holds."""
    if isinstance(schema, list):
        return [explainable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {word: _inner(word, value) for word, value in schema.items()}
    hidden = []
    for words in _BESIDE:
        group = {word: schema[word] for word in words if word in schema}
        if group and _refers(group):
            hidden.append({"not": {"not": group}})
            for word in group:
                del plain[word]
    return {**plain, "allOf": [*plain.get("allOf", []), *hidden]} if hidden else plain


def _inner(word: str, value: Any) -> Any:
    if word in DATA:
        return value
    if word in NAMED and isinstance(value, dict):
        return {name: explainable(one) for name, one in value.items()}
    return explainable(value)


def _refers(node: Any) -> bool:
    """Whether there is a reference in it; a field that is called so counts too, which does no harm."""
    if isinstance(node, dict):
        return "$ref" in node or "$dynamicRef" in node or any(_refers(value) for value in node.values())
    return isinstance(node, list) and any(_refers(item) for item in node)
