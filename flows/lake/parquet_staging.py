"""Staging of Parquet: a copy of the bytes, every page of which was read once, so that a damaged file is refused whole.

Bronze keeps each value as text, nested ones as JSON: from there on there is one code for all formats.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from flows.lake.errors import SourceError
from flows.lake.staging import StagedFile, ingest_id

_CHUNK = 1 << 20
_ROWS_AT_ONCE = 64 * 1024


def stage_parquet(path: Path, into: Path) -> StagedFile:
    """Copy the file and read all of the copy; raises SourceError for what is no whole Parquet file or has no row."""
    into.mkdir(parents=True, exist_ok=True)
    partial, digest, size = into / "incoming", hashlib.sha256(), 0
    try:
        with path.open("rb") as source, partial.open("wb") as copy:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                size += copy.write(chunk)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    fields = _read_through(partial, path.name)
    uri, sha256 = path.as_uri(), digest.hexdigest()
    staged = partial.rename(into / f"{ingest_id(uri, sha256)}.parquet")
    return StagedFile(uri, sha256, size, staged, tuple(fields), False, "parquet")


def parquet_fields(path: Path) -> list[str]:
    """The names of the columns; raises SourceError."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return list(parquet.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path.name}: is no Parquet file that can be read: {error}") from error


def nested_fields(path: Path) -> set[str]:
    """The columns whose values are lists, maps or structs."""
    import pyarrow as pa
    from pyarrow import parquet

    return {field.name for field in parquet.read_schema(path) if pa.types.is_nested(field.type)}


def _read_through(copy: Path, name: str) -> list[str]:
    """The names of the columns, once every page was decoded: a file may have a whole footer and a damaged middle."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(copy) as file:
            if file.metadata.num_rows == 0:
                raise SourceError(f"{name}: the file has no row")
            rows = sum(batch.num_rows for batch in file.iter_batches(_ROWS_AT_ONCE))
            if rows != file.metadata.num_rows:
                raise SourceError(f"{name}: {rows} rows can be read, its footer tells of {file.metadata.num_rows}")
            return list(file.schema_arrow.names)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).strip().splitlines()[0]
        raise SourceError(f"{name}: is damaged, or no Parquet file: {reason}") from error
