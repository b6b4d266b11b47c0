"""From `source_path` to bytes that can be trusted: which files it means, and a staged copy with its hash.

The copy is what Spark reads, so the bytes that were hashed are the bytes that are loaded even if the file changes or
vanishes meanwhile, and odd names (spaces, `=`, `%`, `#`, braces, accents) never reach Spark's path globbing.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from flows.lake.errors import SourceError
from schemas.envelope import event_id

_CHUNK = 1 << 20
# What programs leave beside a file while they write it.
_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".swp")


@dataclass(frozen=True)
class StagedFile:
    """A complete copy of a source. `ingest_id` identifies place and content together."""

    uri: str
    sha256: str
    size_bytes: int
    path: Path
    header: tuple[str, ...]
    has_quotes: bool

    @property
    def ingest_id(self) -> str:
        return ingest_id(self.uri, self.sha256)


def ingest_id(uri: str, sha256: str) -> str:
    """One id for a file with this content at this place, whenever and by whichever run it is read."""
    return event_id("ingest", uri, sha256)


def local_path(source: str) -> Path:
    """The path that a plain path or a file:// URI means. A plain path is taken as it is, `%` and `#` included."""
    if source.startswith("file:"):
        rest = source.removeprefix("file:")
        if rest.startswith("//"):
            host, slash, rest = rest.removeprefix("//").partition("/")
            if host not in {"", "localhost"}:
                raise SourceError(f"{source}: files of another host cannot be read")
            rest = slash + rest
        return Path(unquote(rest))
    if "://" in source:
        raise SourceError(f"{source}: only local paths and file:// URIs can be read")
    if not source.strip():
        raise SourceError("source_path is empty; give a file or a directory")
    return Path(source).expanduser().absolute()


def source_files(path: Path, suffixes: tuple[str, ...] = (".csv",)) -> list[Path]:
    """The file, or the finished files in a directory, oldest first; raises SourceError if there is none."""
    try:
        if path.is_dir():
            files = [child for child in path.iterdir() if _is_finished(child) and child.suffix.lower() in suffixes]
            if not files:
                raise SourceError(f"{path}: the directory has no {' or '.join(suffixes)} file")
            return sorted(files, key=lambda child: (_modified_ns(child), child.name))
        if path.is_file():
            return [path]
        exists = path.exists()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    raise SourceError(f"{path}: is not a regular file" if exists else f"{path}: there is no such file or directory")


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
    return [field.strip() for field in header]


def stage(path: Path, into: Path, separator: str) -> StagedFile:
    """Copy the file into a directory that only this run uses; raises SourceError for what is not loadable text."""
    into.mkdir(parents=True, exist_ok=True)
    partial = into / "incoming.csv"
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
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    if size == 0:
        raise SourceError(f"{path.name}: the file is empty")
    header = read_header_of(partial, path.name, separator)
    uri, sha256 = path.as_uri(), digest.hexdigest()
    staged = partial.rename(into / f"{ingest_id(uri, sha256)}.csv")
    return StagedFile(uri, sha256, size, staged, tuple(header), has_quotes)


def read_header_of(copy: Path, name: str, separator: str) -> list[str]:
    """As `read_header`, with messages that name the source and not its copy."""
    try:
        return read_header(copy, separator)
    except SourceError as error:
        raise SourceError(str(error).replace(copy.name, name, 1)) from error


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


def unsettled(files: Iterable[Path], done: Collection[str]) -> list[Path]:
    """The files whose ingestion is not among those that are done. One that cannot be read counts as one of them: its
    own loading says why, and the others are loaded all the same."""
    return [file for file in files if not _is_done(file, done)]


def _is_done(file: Path, done: Collection[str]) -> bool:
    try:
        return ingest_id(file.as_uri(), hash_file(file)) in done
    except SourceError:
        return False


def _chunks(source: object) -> Iterator[bytes]:
    read = source.read  # type: ignore[attr-defined]
    while chunk := read(_CHUNK):
        yield chunk


def _modified_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # it went since it was listed, which its own loading will tell
        return 0


def _is_finished(path: Path) -> bool:
    return path.is_file() and not path.name.startswith((".", "_")) and path.suffix.lower() not in _UNFINISHED
