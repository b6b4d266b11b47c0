"""Datasets as data: the typed form of `config/datasets.yaml`, and which dataset a file belongs to. No I/O on data."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from flows.lake.errors import DatasetError
from schemas.quality import RuleSeverity

# The one column of Bronze's own that a header could also have; the others start with an underscore.
INGESTED_AT = "data_ingestao"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
Expression = Annotated[str, StringConstraints(min_length=1)]


class _Definition(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Definition):
    """`optional` columns may be absent from the header; `required` values may not be absent from a row."""

    type: Expression = "string"
    required: bool = False
    optional: bool = False
    aliases: tuple[str, ...] = ()
    normalise: Literal["upper", "lower"] | None = None
    expression: Expression | None = None


class Rule(_Definition):
    name: Name
    severity: RuleSeverity
    expression: Expression


class TableRule(_Definition):
    name: Name
    severity: Literal["warn", "fail"]
    expression: Expression


class Source(_Definition):
    format: Literal["csv"] = "csv"
    patterns: tuple[str, ...] = ()
    options: Mapping[str, str] = Field(default_factory=dict)

    @property
    def separator(self) -> str:
        return self.options.get("sep", ",")


class Gold(_Definition):
    group_by: dict[Name, Expression] = Field(min_length=1)
    aggregates: dict[Name, Expression] = Field(min_length=1)

    def follows_from(self, dataset: Dataset) -> bool:
        """Whether a row's key alone decides its group. If not, a correction may move a row out of a group."""
        others = [name for name in dataset.columns if name not in dataset.keys]
        groups = " ".join(self.group_by.values())
        return not any(re.search(rf"\b{re.escape(name)}\b", groups, re.IGNORECASE) for name in others)


class Retention(_Definition):
    """How long rows stay: those whose `date` (a Spark SQL expression over the table's columns) is more than
    `keep_days` ago may be purged, whole partitions at a time."""

    date: Expression
    keep_days: int = Field(gt=0)


class Dataset(_Definition):
    """One dataset: how it is read, checked, keyed, laid out and aggregated."""

    name: Name
    description: str = ""
    source: Source = Source()
    columns: dict[Name, Column] = Field(min_length=1)
    keys: tuple[Name, ...] = Field(min_length=1)
    partitions: dict[Name, Expression] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    table_rules: tuple[TableRule, ...] = ()
    gold: dict[Name, Gold] = Field(default_factory=dict)
    # Both are for maintenance alone: a critical dataset is backed up each time; without a retention all rows stay.
    critical: bool = False
    retention: dict[Literal["bronze", "silver", "quarantine"], Retention] = Field(default_factory=dict)

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
        return self

    @property
    def version(self) -> str:
        """Changes whenever what makes the tables does; 12 hexadecimal digits."""
        content = json.dumps(self.model_dump(mode="json", exclude={"critical", "retention"}), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def canonical_names(self, header: Iterable[str]) -> list[str]:
        """The column names for a header: the definition's where a name or alias fits, else a safe form of its own."""
        known = {_fold(alias): name for name, column in self.columns.items() for alias in (name, *column.aliases)}
        names: list[str] = []
        for position, field in enumerate(header, start=1):
            name = known.get(_fold(field))
            if name is None or name in names:
                name = re.sub(r"\W+", "_", _fold(field)).strip("_") or f"column_{position}"
            while name in names or name == INGESTED_AT or (name in self.columns and _fold(field) not in known):
                name = f"{name}_{position}"
            names.append(name)
        return names

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
    known = ", ".join(sorted(datasets))
    if name is not None:
        if name not in datasets:
            raise DatasetError(f"unknown dataset {name!r}; known datasets: {known}")
        return datasets[name]
    for directory in (path.name, *(parent.name for parent in path.parents)):
        if directory in datasets:
            return datasets[directory]
    for dataset in datasets.values():
        if any(fnmatch(path.name.lower(), pattern) for pattern in dataset.source.patterns):
            return dataset
    fitting = [d for d in datasets.values() if header is not None and not d.missing_columns(header)]
    if len(fitting) == 1:
        return fitting[0]
    raise DatasetError(f"no dataset fits {path.name!r} by directory, name or header; known datasets: {known}")


def _parse(path: Path, name: str, definition: object) -> Dataset:
    if not isinstance(definition, dict):
        raise DatasetError(f"{path}: dataset {name!r} must be a mapping")
    try:
        return Dataset(**{**definition, "name": name})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DatasetError(f"{path}: dataset {name!r}: {where}: {first['msg']}") from error


def _fold(field: str) -> str:
    return field.strip().lower()
