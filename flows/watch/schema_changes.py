"""Which columns of a Delta table came, went or changed their type within the last day, out of its log.

Only a commit that holds `metaData` can change them; whether it did is told by the versions before and after it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from flows.lake.folders import Folder
from flows.lake.tables import Table

if TYPE_CHECKING:
    from deltalake import DeltaTable

_DAY = timedelta(days=1)
_MARK = b'"metaData"'
# A table that changes more often than that in a day is told by the number anyway.
_MOST_LOADED = 20
Columns = Mapping[str, str]


@dataclass(frozen=True)
class SchemaChanges:
    """How many versions changed the columns, and how they differ from those of a day ago, such as `volume (new)`."""

    versions: int = 0
    columns: str = ""


def schema_changes(table: Table, newest: DeltaTable, now: datetime) -> SchemaChanges:
    """Of the table, whose newest version is given. The creation of a table is no change. Raises what deltalake raises
    if a version before cannot be read."""
    after, current, changed = columns_of(newest), newest.version(), 0
    first = after
    for version in _candidates(table.folder / "_delta_log", current, now):
        before = _columns_at(table, version - 1)
        if before != (after if version == current else _columns_at(table, version)):
            changed += 1
        first = before
    return SchemaChanges(changed, difference(first, after) if changed else "")


def columns_of(table: DeltaTable) -> Columns:
    """Type of each column as Delta's log writes it."""
    return {field.name: json.dumps(json.loads(field.to_json())["type"]).strip('"') for field in table.schema().fields}


def difference(before: Columns, after: Columns) -> str:
    """`volume (new), open (gone), close (string → double)`; empty if they are the same."""
    came = [f"{name} (new)" for name in after if name not in before]
    went = [f"{name} (gone)" for name in before if name not in after]
    other = [f"{n} ({before[n]} → {kind})" for n, kind in after.items() if n in before and before[n] != kind]
    return ", ".join(came + went + other)


def _candidates(log: Folder, current: int, now: datetime) -> Iterator[int]:
    """Versions of the last day whose commit names columns, the newest first."""
    commits, found = log.files(), 0
    for version in range(current, 0, -1):
        name = f"{version:020}.json"
        written = commits[name].modified if name in commits else None
        if written is None or written < now - _DAY:  # the day before, or cleaned away, and so was everything before it
            return
        if _MARK in log.read(name):
            yield version
            found += 1
            if found == _MOST_LOADED:
                return


def _columns_at(table: Table, version: int) -> Columns:
    opened = table.opened(version)
    if opened is None:
        raise FileNotFoundError(f"{table.path}: the table has just gone")
    return columns_of(opened)
