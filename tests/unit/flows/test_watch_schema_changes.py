"""Columns that came, went or changed within a day, from the logs of real Delta tables."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from flows.lake.tables import Table
from flows.watch.schema_changes import SchemaChanges, schema_changes
from flows.watch.tables import look_at_lake

FIRST = pa.table({"day": ["2026-03-02"], "price": [1]})


def write(folder: Path, rows: pa.Table, mode: Any = "append", schema: Any = None) -> None:
    write_deltalake(str(folder), rows, mode=mode, schema_mode=schema)


def seen(folder: Path, now: datetime | None = None) -> SchemaChanges:
    return schema_changes(Table(str(folder)), DeltaTable(str(folder)), now or datetime.now(UTC))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table of two versions with the same columns."""
    for _ in range(2):
        write(tmp_path / "silver" / "t", FIRST)
    return tmp_path / "silver" / "t"


def test_rows_that_fit_change_nothing_and_neither_do_properties(folder: Path) -> None:
    DeltaTable(str(folder)).alter.set_table_properties({"delta.appendOnly": "false"})
    assert seen(folder) == SchemaChanges(0, "")


def test_what_is_new_gone_and_of_another_type_is_named(folder: Path) -> None:
    write(folder, FIRST.append_column("volume", pa.array([7])), schema="merge")
    assert seen(folder) == SchemaChanges(1, "volume (new)")
    write(folder, FIRST, schema="merge")  # fits, though it has no volume
    write(folder, pa.table({"price": [1.5], "volume": [7]}), "overwrite", "overwrite")
    assert seen(folder) == SchemaChanges(2, "volume (new), day (gone), price (long → double)")


def test_there_and_back_is_two_changes_and_no_difference(folder: Path) -> None:
    write(folder, pa.table({"other": [1]}), "overwrite", "overwrite")
    write(folder, FIRST, "overwrite", "overwrite")
    assert seen(folder) == SchemaChanges(2, "")


def test_a_day_later_it_is_no_news(folder: Path) -> None:
    write(folder, FIRST.append_column("volume", pa.array([7])), schema="merge")
    assert seen(folder, datetime.now(UTC) + timedelta(hours=25)) == SchemaChanges(0, "")
    long_ago = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    os.utime(folder / "_delta_log" / f"{2:020}.json", (long_ago, long_ago))
    assert seen(folder) == SchemaChanges(0, "")


def test_versions_before_that_were_cleaned_away_cost_the_table_nothing_else(folder: Path, tmp_path: Path) -> None:
    write(folder, FIRST.append_column("volume", pa.array([7])), schema="merge")
    DeltaTable(str(folder)).create_checkpoint()
    for version in range(2):
        (folder / "_delta_log" / f"{version:020}.json").unlink()
    [table] = look_at_lake(str(tmp_path), datetime.now(UTC)).tables
    assert (table.check.reason, table.rows, table.changes) == (None, 3, None)
    assert "table.schema_changes" not in {m.name for m in table.measurements(datetime.now(UTC))}


def test_the_measurement_carries_the_columns(folder: Path, tmp_path: Path) -> None:
    write(folder, FIRST.append_column("volume", pa.array([7])), schema="merge")
    [table] = look_at_lake(str(tmp_path), datetime.now(UTC)).tables
    found = {m.name: m for m in table.measurements(datetime.now(UTC))}
    assert (found["table.schema_changes"].value, found["table.schema_changes"].labels) == (
        1,
        {"columns": "volume (new)"},
    )
    assert found["table.versions"].value == 3
    assert found["table.small_files"].value == 3
