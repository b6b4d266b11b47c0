"""Which files are a dataset's own: the `source` of each entry of `config/datasets.yaml`, for ingest and the flows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Format = Literal["csv", "json", "jsonl", "parquet"]
FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


class Source(BaseModel):
    """`formats` are those that the dataset takes; the first is that of a file whose name tells none. `patterns` are
    names, or ends of paths, in lower case. `settle_seconds`: how long a file that nobody was seen closing must stay the
    same before it counts as complete; None is the service's own setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    formats: tuple[Format, ...] = Field(default=("csv",), min_length=1)
    patterns: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = ()
    options: Mapping[str, str] = Field(default_factory=dict)
    # Not part of what makes the tables, so no part of a dataset's version.
    settle_seconds: float | None = Field(default=None, ge=0, le=86_400, exclude=True)

    def claims(self, path: PurePath) -> bool:
        """Whether a file of this path is the dataset's own, wherever it lies."""
        folded = PurePosixPath(str(path).lower())
        return any(folded.match(pattern) for pattern in self.patterns)
