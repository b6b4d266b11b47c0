"""What a file's place and name say: whether to look at it at all, its dataset and its format. Reads nothing."""

from __future__ import annotations

from pathlib import PurePath
from typing import NamedTuple

from schemas.files import FileFormat

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


def dataset_of(relative: PurePath) -> str | None:
    """The first directory below the landing directory; None for a file directly in it."""
    return relative.parts[0] if len(relative.parts) > 1 else None


def place(relative: PurePath) -> Placement | str:
    """Dataset and format of a file, by its path below the landing directory; else the reason to refuse it."""
    format_ = format_of(relative.name)
    if format_ is None:
        return f"unknown extension {relative.suffix!r}; known are {', '.join(FORMATS)}"
    dataset = dataset_of(relative)
    if dataset is None:
        return (
            "it belongs to no dataset: put it into a directory, whose name is the dataset, below the landing directory"
        )
    return Placement(dataset, format_)
