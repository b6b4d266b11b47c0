"""One version of a table as files: which data files and log entries it is made of. Reads Delta without Spark.

The files of a version stay as long as nothing runs VACUUM; under the dataset's lock only maintenance itself does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote

from flows.lake.folders import Entry, Folder
from flows.upkeep.errors import BackupError
from flows.upkeep.inventory import LakeTable

_LOG = "_delta_log"


@dataclass(frozen=True)
class Snapshot:
    """A pinned version. Paths are relative to `root`; the log's are of that version and of none later."""

    root: Folder
    version: int
    files: tuple[str, ...]
    log: tuple[str, ...]
    size_bytes: int


def pin(table: LakeTable) -> Snapshot:
    """The newest version; raises BackupError if a file of it is missing or is not below the table."""
    import pyarrow as pa

    root, newest = table.folder, table.opened()
    there = root.files()
    listed = pa.table(newest.get_add_actions(flatten=True)).to_pylist()
    files = [_data_file(root, there, entry["path"], entry["size_bytes"]) for entry in listed]
    # Files of deletion vectors are not in the list; those of other versions beside them do no harm.
    vectors = [path for path in there if PurePosixPath(path).match("deletion_vector_*.bin")]
    log = [path for path in there if path.startswith(f"{_LOG}/") and _is_of(root, path, newest.version())]
    size = sum(there[path].size_bytes for path in (*files, *vectors, *log))
    return Snapshot(root, newest.version(), tuple(sorted(files + vectors)), tuple(sorted(log)), size)


def _data_file(root: Folder, there: Mapping[str, Entry], logged: str, size: int) -> str:
    path = unquote(logged)
    if "://" in path or path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise BackupError(f"{root}: its file {path} is outside of the table (a shallow clone?); it cannot be backed up")
    if path not in there:
        raise BackupError(f"{root}: the file {path} of its newest version is missing; the table is damaged")
    found = there[path].size_bytes
    if found != size:
        raise BackupError(f"{root}: the file {path} has {found} bytes, its log says {size}; the table is damaged")
    return path


def _is_of(root: Folder, path: str, version: int) -> bool:
    """Whether a file of the log tells of the version or of an earlier one."""
    log = PurePosixPath(path)
    if log.name.startswith("."):
        return False
    if log.name == "_last_checkpoint":
        return int(json.loads(root.read(path))["version"]) <= version
    return log.parent.name == "_sidecars" or _version_of(log) <= version


def _version_of(path: PurePosixPath) -> float:
    """The newest version that a log file tells of; endless for what is no log file."""
    first, second, *_ = [*path.name.split("."), ""]
    numbers = [int(part) for part in (first, second) if part.isdecimal()]  # FROM.TO.compacted.json has both
    return max(numbers) if first.isdecimal() else float("inf")
