"""What lies below a folder of the lake, whatever Delta says of it: on this machine's disk, or objects in an S3 store.

It only looks and reads. Paths of files are relative to the folder, with slashes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import unquote

from datalab.runtime.s3_lake import in_s3, store_access
from datalab.runtime.settings import configuration

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

_PATIENCE_S, _TRIES = 10, 3


@dataclass(frozen=True)
class Entry:
    """A file's size, and when it was last written (None if that is not known)."""

    size_bytes: int
    modified: datetime | None


@dataclass(frozen=True)
class Folder:
    """By its location, as `Table` has it. One that is not there has no files. All methods may raise OSError."""

    location: str

    def __truediv__(self, name: str) -> Folder:
        return Folder(f"{self.location.rstrip('/')}/{name}")

    def __str__(self) -> str:
        return self.location

    @property
    def name(self) -> str:
        return self.base.rsplit("/", 1)[-1]

    @property
    def base(self) -> str:
        """The location without its scheme, so that locations can be compared however they were written."""
        return base_of(self.location)

    def files(self) -> dict[str, Entry]:
        """Every file below, by its path."""
        found = (info for info in self._list(recursive=True) if info.is_file)
        return {info.path.removeprefix(f"{self.base}/"): Entry(info.size, info.mtime) for info in found}

    def folders(self) -> list[str]:
        """The names of the folders in this one, in their order; raises NotADirectoryError if it is a file, and
        FileNotFoundError for a bucket that is not there."""
        from pyarrow.fs import FileType

        store = self.file_system()
        if store.get_file_info(self.base).type == FileType.File:
            raise NotADirectoryError(f"{self} is no directory")
        found = sorted(info.base_name for info in self._list() if info.type == FileType.Directory)
        bucket = self.base.partition("/")[0]
        if not found and in_s3(self.location) and store.get_file_info(bucket).type == FileType.NotFound:
            raise FileNotFoundError(f"there is no bucket {bucket!r} in the store; create it")
        return found

    def last_change(self) -> datetime | None:
        """When something in it was last written; None if that is not known."""
        times = (info.mtime for info in (self.file_system().get_file_info(self.base), *self._list(recursive=True)))
        return max((time for time in times if time is not None), default=None)

    def size_of(self, path: str) -> int | None:
        """The bytes of a file; None if it is not there."""
        info = self.file_system().get_file_info(f"{self.base}/{path}")
        return info.size if info.is_file else None

    def read(self, path: str) -> bytes:
        with self.open(path) as file:
            return file.read()

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """A file, to be read from its beginning on."""
        with self.file_system().open_input_stream(f"{self.base}/{path}", compression=None) as file:
            yield cast("BinaryIO", file)

    def _list(self, *, recursive: bool = False) -> list[FileInfo]:
        from pyarrow.fs import FileSelector

        selector = FileSelector(self.base, allow_not_found=True, recursive=recursive)
        return cast("list[FileInfo]", self.file_system().get_file_info(selector))

    def file_system(self) -> FileSystem:
        """What reaches it, by `base` and a slash and a path."""
        from pyarrow import fs

        if not in_s3(self.location):
            return fs.LocalFileSystem()
        # The library's own patience with a store that does not answer is some minutes.
        patience = {"connect_timeout": _PATIENCE_S, "request_timeout": _PATIENCE_S}
        retries = fs.AwsStandardS3RetryStrategy(max_attempts=_TRIES)
        return fs.S3FileSystem(**store_access(configuration()), **patience, retry_strategy=retries)


def base_of(location: str) -> str:
    """The location of a table or of a file without its scheme: a path, or BUCKET/KEY."""
    if in_s3(location):
        return location.split("://", 1)[1].rstrip("/")
    if location.startswith("file:"):
        location = unquote(location.removeprefix("file:").removeprefix("//"))
    return str(Path(location).absolute())
