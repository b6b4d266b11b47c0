"""The examples of each type, as they lie in `schemas/examples/TYPE/NAME.json`, in structured mode."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

_FOLDER = Path(__file__).parents[1] / "examples"


class Example(NamedTuple):
    """One event in structured mode, by the name of its file."""

    name: str
    event: dict[str, Any]


@cache
def examples(type_: str) -> tuple[Example, ...]:
    """By the number of fields, so that the first is the smallest and the last the fullest."""
    found = [Example(p.stem, json.loads(p.read_text("utf-8"))) for p in sorted((_FOLDER / type_).glob("*.json"))]
    return tuple(sorted(found, key=lambda example: len(example.event["data"])))


def headers(event: dict[str, Any]) -> dict[str, str]:
    """The headers of the same event in Kafka's binary mode."""
    named = {"datacontenttype": "content-type"}
    return {named.get(name, f"ce_{name}"): value for name, value in event.items() if name != "data"}
