"""The parts of a dataset's definition in `config/datasets.yaml`, each with its fields. No I/O."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from flows.lake.errors import SourceError
from schemas import sources
from schemas.quality import RuleSeverity

if TYPE_CHECKING:
    from flows.lake.datasets import Dataset

Format = sources.Format
FORMATS = sources.FORMATS

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
Expression = Annotated[str, StringConstraints(min_length=1)]


class Definition(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(Definition):
    """`optional` columns may be absent from the header; `required` values may not be absent from a row. `default`
    stands for an absent value: an expression over Bronze's metadata that gives the same whenever it is evaluated."""

    type: Expression = "string"
    required: bool = False
    optional: bool = False
    default: Expression | None = None
    aliases: tuple[str, ...] = ()
    normalise: Literal["upper", "lower"] | None = None
    expression: Expression | None = None


class Rule(Definition):
    name: Name
    severity: RuleSeverity
    expression: Expression


class Fresh(Definition):
    """The newest value of a date or timestamp may be so old."""

    column: Name
    within_days: int = Field(gt=0)


class Volume(Definition):
    """The rows of a file against the median of the last files."""

    at_least: float = Field(default=0.5, ge=0)
    at_most: float = Field(default=2.0, gt=0)
    of_last: int = Field(default=10, ge=3, le=1000)


class References(Definition):
    """`columns` maps columns to those of `table` (LAYER/NAME in the lake) that must have their values."""

    columns: dict[Name, Name] = Field(min_length=1)
    table: Annotated[str, StringConstraints(pattern=r"^(bronze|silver|gold)/[a-z][a-z0-9_]*$")]


class TableRule(Definition):
    """A rule over all rows of a file: one of an expression, `unique`, `fresh`, `volume` and `references`."""

    name: Name
    severity: Literal["warn", "fail"]
    expression: Expression | None = None
    unique: tuple[Name, ...] = ()
    fresh: Fresh | None = None
    volume: Volume | None = None
    references: References | None = None

    @model_validator(mode="after")
    def _is_one_rule(self) -> Self:
        kinds = ("expression", "unique", "fresh", "volume", "references")
        given = [kind for kind in kinds if getattr(self, kind)]
        if len(given) != 1:
            raise ValueError(f"table rule {self.name!r} must have one of {', '.join(kinds)}; it has {given or 'none'}")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names, apart from those in an expression."""
        fresh = (self.fresh.column,) if self.fresh else ()
        return (*self.unique, *fresh, *(self.references.columns if self.references else ()))


class Source(sources.Source):
    """How the files of the dataset are read."""

    @model_validator(mode="after")
    def _separator_is_a_character(self) -> Self:
        if len(self.separator) != 1:
            raise ValueError(f"options.sep must be one character, such as ; or a tab; it is {self.separator!r}")
        return self

    @property
    def separator(self) -> str:
        return self.options.get("sep", ",")

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The endings of the files that the dataset takes."""
        return tuple(suffix for suffix, format_ in FORMATS.items() if format_ in self.formats)

    def format_of(self, path: Path) -> Format:
        """How to read a file; raises SourceError if the dataset does not take its kind."""
        format_ = FORMATS.get(path.suffix.lower(), self.formats[0])
        if format_ not in self.formats:
            raise SourceError(
                f"{path.name}: the dataset takes {' or '.join(self.suffixes)} files; convert it, or add {format_!r} "
                "to the dataset's source.formats"
            )
        return format_


class Gold(Definition):
    group_by: dict[Name, Expression] = Field(min_length=1)
    aggregates: dict[Name, Expression] = Field(min_length=1)

    def follows_from(self, dataset: Dataset) -> bool:
        """Whether a row's key alone decides its group. If not, a correction may move a row out of a group."""
        others = [name for name in dataset.columns if name not in dataset.keys]
        groups = " ".join(self.group_by.values())
        return not any(re.search(rf"\b{re.escape(name)}\b", groups, re.IGNORECASE) for name in others)


class Chart(Definition):
    """A chart of the report: `y` over `x` of a Gold table, a line for each `series`."""

    title: str = Field(min_length=1)
    table: Name
    x: Name
    y: Name
    series: Name | None = None


class Transform(Definition):
    """A Python file with a function `transform(columns, functions)`, and the SHA-256 of its content."""

    file: str
    sha256: str


class Retention(Definition):
    """How long rows stay: those whose `date` (a Spark SQL expression over the table's columns) is more than
    `keep_days` ago may be purged, whole partitions at a time."""

    date: Expression
    keep_days: int = Field(gt=0)
