"""Lineage of an ingestion as OpenLineage run events: which table came from which, at which versions, column by column.

One event for each step, with ids that follow from the ingestion, so that a repeat says the same again. Silver's columns
come from Bronze's of the same names and those of their expressions; Gold's from the columns that its expressions name.
Text only, no I/O. Source: openlineage.io, spec 2-0-2 and facets as their URLs say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from uuid import NAMESPACE_URL, uuid5

from flows.lake.bronze_types import kept_type
from flows.lake.datasets import Dataset
from flows.lake.expressions import METADATA
from flows.lake.staging import StagedFile

PRODUCER = "urn:dataflow-lab:flows.lake"
_SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = "https://openlineage.io/spec/facets"
_SCHEMA = f"{_FACETS}/1-1-1/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet"
_VERSION = f"{_FACETS}/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet"
_COLUMNS = f"{_FACETS}/1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet"


class _Step(NamedTuple):
    """A table that was written: from which data set, the types of its columns, and which columns each came from."""

    path: str
    came_from: dict[str, Any]
    types: Mapping[str, str]
    columns: Mapping[str, tuple[str, ...]]


def events(
    dataset: Dataset, staged: StagedFile, versions: Mapping[str, int], run_id: str | None, now: datetime
) -> list[dict[str, Any]]:
    """One event for each table that was written; `versions` maps their locations to versions, from Bronze to Gold."""
    bronze, silver, *golds = versions
    canonical = zip(dataset.canonical_names(staged.header), staged.header, strict=True)
    source = _dataset(staged.uri, None, dict.fromkeys(staged.header, "string"), {})
    found = [
        _Step(bronze, source, _bronze_types(dataset), {c: (f,) for c, f in canonical}),
        _Step(silver, _dataset(bronze, versions[bronze], {}, {}), _silver_types(dataset), _silver_columns(dataset)),
    ]
    for path in golds:
        columns = _gold_columns(dataset, path.rpartition("/")[2])
        found.append(_Step(path, _dataset(silver, versions[silver], {}, {}), {}, columns))
    return [_event(dataset, staged, step, versions[step.path], run_id, now) for step in found]


def as_lines(found: list[dict[str, Any]]) -> str:
    """One event a line, as OpenLineage's file transport has it."""
    return "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in found)


def named_columns(expression: str, columns: Iterable[str]) -> tuple[str, ...]:
    """The columns whose names stand in an expression, in the order of the definition."""
    words = {word.lower() for word in re.findall(r"\w+", re.sub(r"'[^']*'", "", expression))}
    return tuple(name for name in columns if name in words)


def _bronze_types(dataset: Dataset) -> dict[str, str]:
    kept = {name: kept_type(column) for name, column in dataset.columns.items()}
    return kept | dict.fromkeys(METADATA, "string")


def _silver_types(dataset: Dataset) -> dict[str, str]:
    return {name: column.type for name, column in dataset.columns.items()}


def _silver_columns(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    own = {name: (name, *named_columns(column.default or "", METADATA)) for name, column in dataset.columns.items()}
    return own | {name: named_columns(sql, dataset.columns) for name, sql in dataset.partitions.items()}


def _gold_columns(dataset: Dataset, table: str) -> dict[str, tuple[str, ...]]:
    gold = dataset.gold[table]
    known = [*dataset.columns, *dataset.partitions]
    return {name: named_columns(sql, known) for name, sql in {**gold.group_by, **gold.aggregates}.items()}


def _event(
    dataset: Dataset, staged: StagedFile, step: _Step, version: int, run_id: str | None, now: datetime
) -> dict[str, Any]:
    run: dict[str, Any] = {"runId": str(uuid5(NAMESPACE_URL, f"openlineage:{staged.ingest_id}:{step.path}:{version}"))}
    if run_id is not None:
        run["facets"] = {"prefect": {"_producer": PRODUCER, "_schemaURL": f"{PRODUCER}#prefect", "flowRunId": run_id}}
    layer, _, name = "/".join(step.path.rsplit("/", 2)[1:]).partition("/")
    columns = {column: [(step.came_from, field) for field in fields] for column, fields in step.columns.items()}
    return {
        "eventType": "COMPLETE",
        "eventTime": now.isoformat(),
        "producer": PRODUCER,
        "schemaURL": _SPEC,
        "run": run,
        "job": {"namespace": "dataflow-lab", "name": f"medallion-etl.{dataset.name}.{layer}.{name}"},
        "inputs": [step.came_from],
        "outputs": [_dataset(step.path, version, step.types, columns)],
    }


def _dataset(
    location: str,
    version: int | None,
    types: Mapping[str, str],
    columns: Mapping[str, list[tuple[dict[str, Any], str]]],
) -> dict[str, Any]:
    """A data set by OpenLineage's naming: `file` and the path, or the bucket and the key."""
    facets: dict[str, Any] = {}
    if types:
        fields = [{"name": name, "type": type_} for name, type_ in types.items()]
        facets["schema"] = {"_producer": PRODUCER, "_schemaURL": _SCHEMA, "fields": fields}
    if version is not None:
        facets["version"] = {"_producer": PRODUCER, "_schemaURL": _VERSION, "datasetVersion": str(version)}
    if columns:
        facets["columnLineage"] = {
            "_producer": PRODUCER,
            "_schemaURL": _COLUMNS,
            "fields": {
                name: {"inputFields": [{"namespace": d["namespace"], "name": d["name"], "field": f} for d, f in found]}
                for name, found in columns.items()
                if found
            },
        }
    return {**_named(location), "facets": facets}


def _named(location: str) -> dict[str, str]:
    if location.startswith(("s3://", "s3a://")):
        parts = urlsplit(location)
        return {"namespace": f"s3://{parts.netloc}", "name": parts.path.lstrip("/")}
    path = unquote(location.removeprefix("file://")) if location.startswith("file://") else location
    return {"namespace": "file", "name": path}
