"""How a file of each format is staged and looked into: the one place that knows them all."""

from __future__ import annotations

from pathlib import Path

from flows.lake.csv_columns import as_columns
from flows.lake.datasets import Dataset
from flows.lake.definitions import FORMATS
from flows.lake.json_staging import first_fields, stage_json
from flows.lake.parquet_staging import parquet_fields, stage_parquet
from flows.lake.staging import StagedFile, read_header, stage_csv


def stage(path: Path, into: Path, dataset: Dataset) -> StagedFile:
    """A copy that Spark can read, in a directory that only this run uses; raises SourceError for what cannot be."""
    format_ = dataset.source.format_of(path)
    if format_ == "csv":
        return as_columns(stage_csv(path, into, dataset.source.separator), dataset)
    if format_ == "parquet":
        return stage_parquet(path, into)
    return stage_json(path, into, dataset, lines=format_ == "jsonl")


def fields_of(path: Path) -> list[str]:
    """The names of the fields, to tell which dataset the file belongs to; raises SourceError."""
    format_ = FORMATS.get(path.suffix.lower(), "csv")
    if format_ == "csv":
        return read_header(path, ",")
    return parquet_fields(path) if format_ == "parquet" else first_fields(path, lines=format_ == "jsonl")
