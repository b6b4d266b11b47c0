"""The JSON Schema of an event type's data, and the versions of it that were published.

`schemas/json/TYPE.json` is today's. `schemas/published/TYPE/N.json` are those that events were written with: they are
never changed or removed, since such events are still on the topics and will be replayed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from schemas.catalog import EVENT_TYPES
from schemas.compatibility import Break, breaks_with_any
from schemas.envelope import EventData

Schema = dict[str, Any]
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# They tell people more, and allow or forbid nothing.
_WORDS = frozenset({"title", "description", "examples", "$id", "$schema", "$comment"})


class _WithoutFieldTitles(GenerateJsonSchema):
    """`run_id` needs no title `Run Id`."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema_of(model: type[EventData]) -> Schema:
    """The JSON Schema, draft 2020-12, of the data of this type."""
    schema = model.model_json_schema(schema_generator=_WithoutFieldTitles)
    about = {"$schema": _DIALECT, "$id": f"urn:dataflow-lab:{model.type}", "title": model.type}
    return {**about, **{word: value for word, value in schema.items() if word not in about}}


def as_text(document: Any) -> str:
    """As it is written to a file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def published(root: Path, type_: str) -> list[Schema]:
    """The published versions, oldest first. Raises ValueError if one between is gone, since none is ever removed."""
    files = {int(path.stem): path for path in (root / "schemas" / "published" / type_).glob("*.json")}
    if sorted(files) != list(range(1, len(files) + 1)):
        raise ValueError(f"{type_}: of the published versions only {sorted(files)} are there; bring the others back")
    return [json.loads(files[number].read_text("utf-8")) for number in sorted(files)]


def unpublished(root: Path) -> dict[str, Schema]:
    """Of each file below `root` that is missing, what it must hold: versions that say something new about the data."""
    wanted = {}
    for type_, model in EVENT_TYPES.items():
        versions, schema = published(root, type_), schema_of(model)
        if not versions or _rules(versions[-1]) != _rules(schema):
            wanted[f"schemas/published/{type_}/{len(versions) + 1}.json"] = schema
    return wanted


def incompatible(root: Path) -> dict[str, list[Break]]:
    """By type, what breaks with a version that was published. A type that is gone breaks with all."""
    found = {type_: breaks_with_any(published(root, type_), schema_of(model)) for type_, model in EVENT_TYPES.items()}
    for path in (root / "schemas" / "published").iterdir() if (root / "schemas" / "published").is_dir() else ():
        if path.name not in EVENT_TYPES:
            found[path.name] = breaks_with_any(published(root, path.name), {"type": "object", "not": {}})
    return {type_: breaks for type_, breaks in found.items() if breaks}


def _rules(node: Any, named: bool = False) -> Any:
    """Only what allows or forbids. `named`: the keys are names of fields."""
    if isinstance(node, list):
        return [_rules(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _rules(value, key in {"properties", "$defs"} and not named)
        for key, value in node.items()
        if named or key not in _WORDS
    }
