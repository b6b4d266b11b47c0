"""Datasets as data: the typed form of `config/datasets.yaml`, and which dataset a file belongs to. No I/O on data."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from flows.lake.definitions import (
    Chart,
    Column,
    Definition,
    Expression,
    Gold,
    Name,
    Retention,
    Rule,
    Source,
    TableRule,
    Transform,
)
from flows.lake.errors import DatasetError

__all__ = [
    "INGESTED_AT",
    "Chart",
    "Column",
    "Dataset",
    "Gold",
    "Retention",
    "choose_dataset",
    "load_datasets",
    "named_dataset",
]

# The one column of Bronze's own that a header could also have; the others start with an underscore.
INGESTED_AT = "data_ingestao"


class Dataset(Definition):
    """One dataset: how it is read, checked, keyed, laid out and aggregated."""

    name: Name
    description: str = ""
    source: Source = Source()
    columns: dict[Name, Column] = Field(min_length=1)
    keys: tuple[Name, ...] = Field(min_length=1)
    partitions: dict[Name, Expression] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    table_rules: tuple[TableRule, ...] = ()
    transform: Transform | None = None
    gold: dict[Name, Gold] = Field(default_factory=dict)
    charts: tuple[Chart, ...] = ()
    # Both are for maintenance alone: a critical dataset is backed up each time; without a retention all rows stay.
    critical: bool = False
    retention: dict[Literal["bronze", "silver", "quarantine"], Retention] = Field(default_factory=dict)
    zorder: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _keys_are_required_columns(self) -> Self:
        for key in self.keys:
            if key not in self.columns:
                raise ValueError(f"key {key!r} is not a column")
            if not self.columns[key].required:
                raise ValueError(f"key {key!r} must be a required column")
        names = [rule.name for rule in self.rules] + [rule.name for rule in self.table_rules]
        if len(names) != len(set(names)):
            raise ValueError("two rules have the same name")
        if unknown := [name for name in self.zorder if name not in self.columns or name in self.partitions]:
            raise ValueError(f"zorder: {unknown[0]!r} is not a column, or partitions the table already")
        for rule in self.table_rules:
            if unknown := [name for name in rule.columns if name not in self.columns]:
                raise ValueError(f"table rule {rule.name!r}: {unknown[0]!r} is not a column")
        return self

    @model_validator(mode="after")
    def _partitions_do_not_hide_columns(self) -> Self:
        for name, expression in self.partitions.items():
            if name in self.columns and expression != name:
                raise ValueError(f"partition {name!r} is a column; its expression must be {name!r} too")
        return self

    @model_validator(mode="after")
    def _charts_show_what_gold_has(self) -> Self:
        for chart in self.charts:
            if chart.table not in self.gold:
                raise ValueError(f"chart {chart.title!r}: there is no Gold table {chart.table!r}")
            gold = self.gold[chart.table]
            for name in filter(None, (chart.x, chart.y, chart.series)):
                if name not in {*gold.group_by, *gold.aggregates}:
                    raise ValueError(f"chart {chart.title!r}: {chart.table} has no column {name!r}")
        return self

    @property
    def version(self) -> str:
        """Changes whenever what makes the tables does; 12 hexadecimal digits."""
        what = self.model_dump(mode="json", exclude={"charts", "critical", "retention", "zorder", "transform"})
        if self.transform:
            what["transform"] = self.transform.sha256
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]

    def known_column(self, field: str) -> str | None:
        """The column that a field of a file is, by name or alias; None if the definition knows it not."""
        return self._names_by_alias.get(_fold(field))

    def canonical_names(self, header: Iterable[str]) -> list[str]:
        """The column names for a header: the definition's where a name or alias fits, else a safe form of its own."""
        known = self._names_by_alias
        names: list[str] = []
        for position, field in enumerate(header, start=1):
            name = known.get(_fold(field))
            if name is None or name in names:
                name = re.sub(r"\W+", "_", _fold(field)).strip("_") or f"column_{position}"
            while name in names or name == INGESTED_AT or (name in self.columns and _fold(field) not in known):
                name = f"{name}_{position}"
            names.append(name)
        return names

    @cached_property
    def _names_by_alias(self) -> dict[str, str]:
        return {_fold(alias): name for name, column in self.columns.items() for alias in (name, *column.aliases)}

    def missing_columns(self, header: Iterable[str]) -> list[str]:
        """The columns that must be in the header and are not."""
        present = set(self.canonical_names(header))
        return [name for name, column in self.columns.items() if not column.optional and name not in present]


def load_datasets(path: Path) -> dict[str, Dataset]:
    """Every dataset of the file by name; raises DatasetError that names what is wrong and where."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict) or not content:
        raise DatasetError(f"{path}: must define at least one dataset")
    return {name: _parse(path, name, definition) for name, definition in content.items()}


def choose_dataset(
    datasets: Mapping[str, Dataset], path: Path, *, name: str | None = None, header: list[str] | None = None
) -> Dataset:
    """The dataset of a file or directory: the one named, else by a directory on its path, its name, or its header."""
    if name is not None:
        return named_dataset(datasets, name)
    for directory in (path.name, *(parent.name for parent in path.parents)):
        if directory in datasets:
            return datasets[directory]
    for dataset in datasets.values():
        if dataset.source.claims(path):
            return dataset
    fitting = [d for d in datasets.values() if header is not None and not d.missing_columns(header)]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(sorted(datasets))
    raise DatasetError(f"no dataset fits {path.name!r} by directory, name or header; known datasets: {known}")


def named_dataset(datasets: Mapping[str, Dataset], name: str) -> Dataset:
    """The dataset; raises DatasetError that lists the known ones."""
    if name not in datasets:
        raise DatasetError(f"unknown dataset {name!r}; known datasets: {', '.join(sorted(datasets))}")
    return datasets[name]


def _parse(path: Path, name: str, definition: object) -> Dataset:
    if not isinstance(definition, dict):
        raise DatasetError(f"{path}: dataset {name!r} must be a mapping")
    if isinstance(transform := definition.get("transform"), str):
        definition = {**definition, "transform": _transform(path, name, transform)}
    try:
        return Dataset(**{**definition, "name": name})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DatasetError(f"{path}: dataset {name!r}: {where}: {first['msg']}") from error


def _transform(path: Path, name: str, written: str) -> dict[str, str]:
    """The file beside the definitions; its content is a part of the dataset's version."""
    file = path.parent / written
    try:
        return {"file": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    except OSError as error:
        raise DatasetError(f"{path}: dataset {name!r}: transform: {file}: {error.strerror}") from error


def _fold(field: str) -> str:
    return field.strip().lower()
