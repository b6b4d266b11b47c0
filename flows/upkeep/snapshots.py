"""One version of a table as files: which data files and log entries it is made of. Reads Delta without Spark.

The files of a version stay as long as nothing runs VACUUM; under the dataset's lock only maintenance itself does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from flows.upkeep.errors import BackupError

_LOG = "_delta_log"


@dataclass(frozen=True)
class Snapshot:
    """A pinned version. Paths are relative to `root`; the log's are of that version and of none later."""

    root: Path
    version: int
    files: tuple[str, ...]
    log: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        return sum((self.root / path).stat().st_size for path in (*self.files, *self.log))


def pin(root: Path) -> Snapshot:
    """The newest version; raises BackupError if a file of it is missing or is not below the table."""
    import pyarrow as pa
    from deltalake import DeltaTable

    table = DeltaTable(str(root))
    listed = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    files = [_data_file(root, entry["path"], entry["size_bytes"]) for entry in listed]
    # Files of deletion vectors are not in the list; those of other versions beside them do no harm.
    vectors = [str(path.relative_to(root)) for path in root.rglob("deletion_vector_*.bin")]
    version = table.version()
    return Snapshot(root, version, tuple(sorted(files + vectors)), tuple(sorted(_log_files(root, version))))


def _data_file(root: Path, logged: str, size: int) -> str:
    path = unquote(logged)
    if "://" in path or path.startswith("/") or ".." in Path(path).parts:
        raise BackupError(f"{root}: its file {path} is outside of the table (a shallow clone?); it cannot be backed up")
    try:
        found = (root / path).stat().st_size
    except FileNotFoundError as error:
        raise BackupError(f"{root}: the file {path} of its newest version is missing; the table is damaged") from error
    if found != size:
        raise BackupError(f"{root}: the file {path} has {found} bytes, its log says {size}; the table is damaged")
    return path


def _log_files(root: Path, version: int) -> Iterator[str]:
    for path in (root / _LOG).rglob("*"):
        relative = path.relative_to(root)
        if not path.is_file() or path.name.startswith("."):
            continue
        if path.name == "_last_checkpoint":
            if json.loads(path.read_text("utf-8"))["version"] <= version:
                yield str(relative)
        elif path.parent.name == "_sidecars" or _version_of(path) <= version:
            yield str(relative)


def _version_of(path: Path) -> float:
    """The newest version that a log file tells of; endless for what is no log file."""
    first, second, *_ = [*path.name.split("."), ""]
    numbers = [int(part) for part in (first, second) if part.isdecimal()]  # FROM.TO.compacted.json has both
    return max(numbers) if first.isdecimal() else float("inf")
