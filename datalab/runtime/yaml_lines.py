"""YAML that people write: read with the line of every field, so that a fault can be told by file, line and field."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

# YAML 1.2's booleans and integers only: 1.1 reads the key `on` as true, and 18:30 as a number to the base of sixty.
_TYPES = {
    "tag:yaml.org,2002:bool": ("^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    "tag:yaml.org,2002:int": (r"^[-+]?[0-9]+$", "-+0123456789"),
}


class Loader(yaml.SafeLoader):
    """Plain values only, typed as in YAML 1.2."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _TYPES]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, (_pattern, _first) in _TYPES.items():
    Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))


class RepeatedKeyError(ValueError):
    """A key stands twice in one map, of which YAML would silently take the last."""

    def __init__(self, key: str, line: int) -> None:
        super().__init__(f"{key}: stands twice; remove one")
        self.line = line


def documents(text: str) -> list[tuple[yaml.Node, Any]]:
    """Every document as its node and its value; raises yaml.YAMLError and RepeatedKeyError."""
    loader, found = Loader(text), []
    while loader.check_node():
        node = loader.get_node()
        assert node is not None, "check_node said that there is one"
        refuse_repeated_keys(node)
        found.append((node, loader.construct_document(node)))
    return found


def line_of(node: yaml.Node, loc: Sequence[int | str]) -> int:
    """The line of the field, or of the innermost part of its path that is there; counted from 1."""
    for step in loc:
        inner = None
        if isinstance(node, yaml.MappingNode):
            inner = next((value for key, value in node.value if key.value == step), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            inner = node.value[step]
        if inner is not None:  # else a step that only the model has, such as a union's tag
            node = inner
    return int(node.start_mark.line) + 1


def line_of_fault(error: yaml.YAMLError) -> int | None:
    """The line that YAML itself complains about."""
    mark = getattr(error, "problem_mark", None)
    return int(mark.line) + 1 if mark else None


def refuse_repeated_keys(node: yaml.Node) -> None:
    """Raise RepeatedKeyError for the first key that stands twice, at any depth."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            refuse_repeated_keys(item)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise RepeatedKeyError(key.value, int(key.start_mark.line) + 1)
            seen.add(key.value)
            refuse_repeated_keys(value)
