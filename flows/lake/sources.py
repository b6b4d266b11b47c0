"""What `source_path` means: which files, and which of them are not loaded yet. It reads them only to hash them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

from flows.lake.errors import SourceError
from flows.lake.staging import hash_file, ingest_id

# What programs leave beside a file while they write it.
_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".swp")


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


def ingestions(files: Iterable[Path]) -> list[str | None]:
    """The id that loading each file would have now, in their order; None for one that cannot be read."""
    return [_ingestion(file) for file in files]


def unsettled(files: Sequence[Path], found: Sequence[str | None], done: Collection[str]) -> list[Path]:
    """The files whose ingestion (`found`, as from `ingestions`) is not among those that are done. One that cannot be
    read counts as one of them: its own loading says why, and the others are loaded all the same."""
    return [file for file, ingestion in zip(files, found, strict=True) if ingestion is None or ingestion not in done]


def _ingestion(file: Path) -> str | None:
    try:
        return ingest_id(file.as_uri(), hash_file(file))
    except SourceError:
        return None


def _modified_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # it went since it was listed, which its own loading will tell
        return 0


def _is_finished(path: Path) -> bool:
    return path.is_file() and not path.name.startswith((".", "_")) and path.suffix.lower() not in _UNFINISHED
