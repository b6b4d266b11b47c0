"""From a source to bytes that can be trusted: a staged copy with its hash.

The copy is what Spark reads, so the bytes that were hashed are the bytes that are loaded even if the file changes or
vanishes meanwhile, and odd names (spaces, `=`, `%`, `#`, braces, accents) never reach Spark's path globbing. Of JSON
the records are staged rather than the text: see `flows.lake.json_staging`.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from flows.lake.errors import SourceError, storage_full
from schemas.envelope import event_id

_CHUNK = 1 << 20


@dataclass(frozen=True)
class StagedFile:
    """A complete copy of a source. `ingest_id` identifies place and content together.

    `header` are the names of the fields in their order; `layout` is how the copy is written; `plain` the columns of the
    layout `columns` all of whose values are there as such, with their types.
    """

    uri: str
    sha256: str
    size_bytes: int
    path: Path
    header: tuple[str, ...]
    has_quotes: bool
    layout: Literal["csv", "records", "parquet", "columns"] = "csv"
    plain: Mapping[str, str] = field(default_factory=dict)

    @property
    def ingest_id(self) -> str:
        return ingest_id(self.uri, self.sha256)


@dataclass(frozen=True)
class Copy:
    """The bytes of a source under another name, and what was seen on the way."""

    path: Path
    sha256: str
    size_bytes: int
    has_quotes: bool


def ingest_id(uri: str, sha256: str) -> str:
    """One id for a file with this content at this place, whenever and by whichever run it is read."""
    return event_id("ingest", uri, sha256)


def stage_csv(path: Path, into: Path, separator: str) -> StagedFile:
    """Copy the file into a directory that only this run uses; raises SourceError for what is not loadable text."""
    copy = copy_text(path, into)
    header = _named_after(copy.path, path.name, separator)
    uri = path.as_uri()
    staged = copy.path.rename(into / f"{ingest_id(uri, copy.sha256)}.csv")
    return StagedFile(uri, copy.sha256, copy.size_bytes, staged, tuple(header), copy.has_quotes)


def copy_text(path: Path, into: Path) -> Copy:
    """Copy the bytes; raises SourceError unless they are UTF-8 text and not empty."""
    into.mkdir(parents=True, exist_ok=True)
    partial = into / "incoming"
    digest, decoder = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")()
    size, has_quotes = 0, False
    try:
        with path.open("rb") as source, partial.open("wb") as copy:
            for chunk in _chunks(source):
                if b"\0" in chunk:
                    raise SourceError(f"{path.name}: is not a text file (it holds binary data)")
                decoder.decode(chunk)
                digest.update(chunk)
                copy.write(chunk)
                size, has_quotes = size + len(chunk), has_quotes or b'"' in chunk
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise SourceError(f"{path.name}: is not UTF-8 text ({error.reason})") from error
    except OSError as error:
        if full := storage_full(error, f"the staged copy of {path.name} in {into}"):
            raise full from error
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    if size == 0:
        raise SourceError(f"{path.name}: the file is empty")
    return Copy(partial, digest.hexdigest(), size, has_quotes)


def read_header(path: Path, separator: str) -> list[str]:
    """The fields of the first line; raises SourceError unless the file is text with a header and a row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            records = (record for record in csv.reader(lines, delimiter=separator) if any(map(str.strip, record)))
            header = next(records, None)
            has_row = next(records, None) is not None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path.name}: is not a text file that can be read: {error}") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    if header is None:
        raise SourceError(f"{path.name}: the file is empty")
    if not has_row:
        raise SourceError(f"{path.name}: the file has a header and no row")
    return [name.strip() for name in header]


def hash_file(path: Path) -> str:
    """SHA-256 of the content, hexadecimal; raises SourceError."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as source:
            for chunk in _chunks(source):
                digest.update(chunk)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _named_after(copy: Path, name: str, separator: str) -> list[str]:
    """As `read_header`, with messages that name the source and not its copy."""
    try:
        return read_header(copy, separator)
    except SourceError as error:
        raise SourceError(str(error).replace(copy.name, name, 1)) from error


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        yield chunk
