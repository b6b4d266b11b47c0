"""How long it takes to judge an event's data: the lab's own types by pydantic, users' types by a JSON Schema validator.

All judge the same data, that of the examples of every event type, in the same run. `python -m bench.validation` prints
who won; its last line has `validation_us`, the slower of the two ways that ingest takes, and `schema_peer_ratio`: how
many times as long fastjsonschema takes as jsonschema-rs. jsonschema, the reference, is measured for scale.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fastjsonschema
import jsonschema
from pydantic import TypeAdapter

from bench.harness import repeat, report
from schemas.catalog import EVENT_TYPES
from schemas.user_types import compile_schema

EXAMPLES = Path(__file__).parents[1] / "schemas" / "examples"
ROUNDS = 7
# About 0.3 s for the fastest and 3 s for the reference.
TIMES = 400
KEYS = ("validation_us", "schema_peer_ratio")

Cases = list[tuple[str, dict[str, Any]]]
Judge = Callable[[Any], Any]


def examples() -> Cases:
    """Type and data of every example."""
    events = [json.loads(path.read_text("utf-8")) for path in sorted(EXAMPLES.glob("*/*.json"))]
    return [(event["type"], event["data"]) for event in events]


def per_event_us(judges: Mapping[str, Judge], cases: list[tuple[str, Any]], times: int) -> float:
    """Microseconds for one event: every case `times` times, after one time that is not counted."""
    bound = [(judges[type_], data) for type_, data in cases]
    for judge, data in bound:
        judge(data)
    started = time.perf_counter()
    for _ in range(times):
        for judge, data in bound:
            judge(data)
    return (time.perf_counter() - started) / (times * len(bound)) * 1e6


def judges() -> dict[str, dict[str, Judge]]:
    """By name of the way, the judge of each type."""
    schemas = {type_: model.model_json_schema() for type_, model in EVENT_TYPES.items()}
    return {
        "pydantic_model": {type_: model.model_validate for type_, model in EVENT_TYPES.items()},
        "pydantic_adapter": {type_: TypeAdapter(model).validate_python for type_, model in EVENT_TYPES.items()},
        "jsonschema_rs": {type_: compile_schema(schema) for type_, schema in schemas.items()},
        "fastjsonschema": {type_: fastjsonschema.compile(schema) for type_, schema in schemas.items()},
        "jsonschema": {type_: jsonschema.Draft202012Validator(s).validate for type_, s in schemas.items()},
    }


def _loads_first(type_: str) -> Judge:
    model = EVENT_TYPES[type_]
    return lambda text: model.model_validate(json.loads(text))


def measure(times: int = TIMES) -> dict[str, float]:
    """One round: microseconds per event of each way, and the keys of this benchmark."""
    cases = examples()
    ways = judges()
    figures = {
        f"{name}_us": per_event_us(ways[name], cases, max(1, times // 20) if name == "jsonschema" else times)
        for name in ways
    }
    texts = [(type_, json.dumps(data).encode()) for type_, data in cases]
    parsing = {type_: model.model_validate_json for type_, model in EVENT_TYPES.items()}
    figures["pydantic_from_json_us"] = per_event_us(parsing, texts, times)
    figures["json_loads_and_model_us"] = per_event_us({t: _loads_first(t) for t in EVENT_TYPES}, texts, times)
    figures["validation_us"] = max(figures["pydantic_model_us"], figures["jsonschema_rs_us"])
    figures["schema_peer_ratio"] = figures["fastjsonschema_us"] / figures["jsonschema_rs_us"]
    return figures


def main() -> None:
    """Measure, write `bench/results/validation.json`, say who won."""
    spreads = repeat(ROUNDS, lambda _: measure())
    medians = {name: spread.median for name, spread in spreads.items()}
    for question, ways in (
        ("users' types", ("jsonschema_rs", "fastjsonschema", "jsonschema")),
        ("the lab's types, from objects", ("pydantic_model", "pydantic_adapter")),
        ("the lab's types, from text", ("pydantic_from_json", "json_loads_and_model")),
    ):
        first, *others = sorted(ways, key=lambda way: medians[f"{way}_us"])
        rest = ", ".join(
            f"{other} takes {medians[f'{other}_us'] / medians[f'{first}_us']:.2f} times as long" for other in others
        )
        print(f"{question}: {first} wins with {medians[f'{first}_us']:.2f} us; {rest}")
    report("validation", spreads, KEYS)


if __name__ == "__main__":
    main()
