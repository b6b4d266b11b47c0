"""What a file's place and name say: whether to look at it at all, its dataset and its format. Reads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import NamedTuple

from schemas.files import FileFormat
from schemas.sources import Source

FORMATS: dict[str, FileFormat] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_UNFINISHED = (".tmp", ".part", "_tmp")


class Placement(NamedTuple):
    """Where a file belongs."""

    dataset: str
    format: FileFormat


def ignored(name: str) -> bool:
    """Whether a file or directory of this name is left alone: hidden, private or unfinished by convention."""
    return name.startswith((".", "_")) or name.lower().endswith(_UNFINISHED)


def format_of(name: str) -> FileFormat | None:
    """The format that the extension stands for; None if there is none."""
    return FORMATS.get(PurePath(name).suffix.lower())


def dataset_of(relative: PurePath, datasets: Mapping[str, Source]) -> str | None:
    """The dataset of a file, by its path below the landing directory or in its bucket; None if it has none.

    The first directory if it is a dataset's; else the first dataset with a pattern for it; else the first directory,
    whatever it is called. None for a file in no directory that no pattern fits.
    """
    first = relative.parts[0] if len(relative.parts) > 1 else None
    if first not in datasets:
        for name, source in datasets.items():
            if source.claims(relative):
                return name
    return first


def place(relative: PurePath, datasets: Mapping[str, Source]) -> Placement | str:
    """Dataset and format of a file, as `dataset_of` and its name say; else the reason to refuse it."""
    dataset = dataset_of(relative, datasets)
    source = None if dataset is None else datasets.get(dataset)
    format_ = format_of(relative.name)
    if format_ is None and source is not None and source.claims(relative):
        format_ = source.formats[0]
    if format_ is None:
        return f"unknown extension {relative.suffix!r}; known are {', '.join(FORMATS)}"
    if dataset is None:
        return (
            "it belongs to no dataset: put it into a directory, whose name is the dataset, below the landing directory"
        )
    return Placement(dataset, format_)
