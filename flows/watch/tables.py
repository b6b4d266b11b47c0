"""Health of the lake: what each table's newest version says, read from its log by deltalake, without Spark."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from flows.lake.folders import Folder
from flows.lake.tables import Table
from flows.upkeep.usage_statistics import small_files
from flows.watch.findings import Check, Measurement, Subject, one_line
from flows.watch.schema_changes import SchemaChanges, schema_changes
from schemas.metrics import (
    TABLE_AGE,
    TABLE_FILES,
    TABLE_ROWS,
    TABLE_SCHEMA_CHANGES,
    TABLE_SIZE,
    TABLE_SMALL_FILES,
    TABLE_VERSIONS,
)

if TYPE_CHECKING:
    from deltalake import DeltaTable

LAKE = "lake"
ROOT = Subject(LAKE, "root")
LAYERS = ("bronze", "silver", "gold", "quarantine")
# A directory without a table may be a first write that is still going on.
_FIRST_WRITE = timedelta(minutes=15)


@dataclass(frozen=True)
class TableHealth:
    """A table's newest version. `rows` is None if a file does not tell, `changes` if an earlier version cannot be read;
    `log_versions` are those that its log still has. Of a table that fails only the check counts."""

    name: str
    check: Check
    version: int = -1
    updated: datetime | None = None
    rows: int | None = None
    files: int = 0
    size_bytes: int = 0
    small_files: int = 0
    log_versions: int = 0
    changes: SchemaChanges | None = None

    def age_s(self, now: datetime) -> float | None:
        """Seconds since the newest version."""
        return None if self.updated is None else max(0.0, (now - self.updated).total_seconds())

    def measurements(self, now: datetime) -> list[Measurement]:
        """What is known of it; nothing of a table that cannot be read."""
        if self.check.reason is not None:
            return []
        figures = (
            (TABLE_AGE, self.age_s(now), "s"),
            (TABLE_ROWS, self.rows, "1"),
            (TABLE_FILES, self.files, "1"),
            (TABLE_SIZE, self.size_bytes, "By"),
            (TABLE_SMALL_FILES, self.small_files, "1"),
            (TABLE_VERSIONS, self.log_versions, "1"),
        )
        found = [Measurement(self.name, name, float(v), unit) for name, v, unit in figures if v is not None]
        if self.changes is not None:
            labels = {"columns": self.changes.columns} if self.changes.columns else {}
            found.append(Measurement(self.name, TABLE_SCHEMA_CHANGES, self.changes.versions, "1", labels=labels))
        return found


@dataclass(frozen=True)
class LakeHealth:
    """Every table that is there. Without a `root` nothing can be said of the lake, for the reason in `unseen`."""

    tables: tuple[TableHealth, ...] = ()
    root: Check | None = None
    unseen: str = ""

    @property
    def checks(self) -> list[Check]:
        """The root's and those of all tables."""
        return [*([self.root] if self.root else []), *(table.check for table in self.tables)]

    @property
    def is_whole(self) -> bool:
        """Whether every table was looked at."""
        return self.root is not None and self.root.reason is None


def look_at_lake(root: str, now: datetime) -> LakeHealth:
    """Every directory of every layer; one that is no table, or cannot be read, fails its check."""
    if Table(root).for_readers is None:
        return LakeHealth(
            unseen=f"LAKE_ROOT={root} is neither on a local disk nor in an S3 store, where it is looked at"
        )
    try:
        folders = list(_folders(Folder(root)))
    except OSError as error:
        return LakeHealth(root=Check(ROOT, f"the lake cannot be read: {one_line(error)}"))
    with ThreadPoolExecutor(max_workers=8, thread_name_prefix="lake") as pool:
        found = pool.map(lambda place: _look(place[0], place[1], now), folders)
    return LakeHealth(tuple(health for health in found if health is not None), Check(ROOT))


def _folders(root: Folder) -> Iterator[tuple[str, Folder]]:
    there = set(root.folders())
    for layer in LAYERS:
        if layer in there:
            names = (root / layer).folders()
            yield from ((f"{layer}/{name}", root / layer / name) for name in names if not name.startswith(("_", ".")))


def _look(name: str, folder: Folder, now: datetime) -> TableHealth | None:
    """One directory; None for one that may yet become a table, or has just gone."""
    try:
        if not any(path.endswith((".json", ".parquet")) for path in (folder / "_delta_log").files()):
            changed = folder.last_change()
            if changed is None or now - changed < _FIRST_WRITE:
                return None
            return TableHealth(name, Check(Subject(LAKE, name), "the directory holds no Delta table"))
        return _read(name, folder, now)
    except Exception as error:  # whatever deltalake raises, the table cannot be read
        if folder.last_change() is None:
            return None
        first = str(error).strip().partition("\n")[0]
        reason = f"the table cannot be read: {type(error).__name__}: {first}"
        return TableHealth(name, Check(Subject(LAKE, name), one_line(reason)))


def _read(name: str, folder: Folder, now: datetime) -> TableHealth:
    from deltalake import DeltaTable

    location, options = Table(folder.location).for_readers or (folder.location, {})
    table = DeltaTable(location, storage_options=options)
    actions = table.get_add_actions()
    paths, sizes, rows = (actions.column(c).to_pylist() for c in ("path", "size_bytes", "num_records"))
    [newest] = table.history(1) or [{}]
    written = newest.get("timestamp")
    return TableHealth(
        name,
        Check(Subject(LAKE, name)),
        version=table.version(),
        updated=None if written is None else datetime.fromtimestamp(written / 1000, UTC),
        rows=None if None in rows else sum(rows),
        files=len(sizes),
        size_bytes=sum(sizes),
        small_files=small_files(zip(paths, sizes, strict=True)),
        log_versions=sum(path.endswith(".json") and "/" not in path for path in (folder / "_delta_log").files()),
        changes=_changes(folder, table, now),
    )


def _changes(folder: Folder, table: DeltaTable, now: datetime) -> SchemaChanges | None:
    try:
        return schema_changes(Table(folder.location), table, now)
    except Exception:  # whatever deltalake raises: what was there before says nothing against what is there now
        return None
