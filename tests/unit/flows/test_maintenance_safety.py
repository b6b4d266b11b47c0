"""Nothing is deleted that somebody else needs, or beside somebody who writes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from flows.lake.datasets import Dataset
from flows.lake.folders import Folder
from flows.lake.tables import Table
from flows.upkeep.errors import UnsafeError
from flows.upkeep.inventory import LakeTable
from flows.upkeep.safety import require_safe
from flows.upkeep.usage_statistics import mergeable
from tests.support.lake_tables import path_of

NOW = datetime.now(UTC)
DATASET = Dataset.model_validate({"name": "t", "columns": {"n": {"required": True}}, "keys": ["n"]})


@pytest.fixture
def table(tmp_path: Path) -> LakeTable:
    path = tmp_path / "my lake" / "silver" / "t"
    write_deltalake(str(path), pa.table({"n": [1, 2]}))
    return LakeTable(DATASET, "silver", "t", Table(str(path)))


def check(table: LakeTable, hours: int = 168, now: datetime = NOW) -> None:
    require_safe(table, Folder(str(path_of(table).parents[1])), hours, now)


def newest_commit(table: LakeTable, **info: object) -> None:
    """The last commit as somebody else would have made it."""
    log = max((path_of(table) / "_delta_log").glob("*.json"))
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    for entry in entries:
        if "commitInfo" in entry:
            entry["commitInfo"] = {"timestamp": int(NOW.timestamp() * 1000), "operation": "WRITE", **info}
    log.write_text("\n".join(map(json.dumps, entries)) + "\n")


def test_a_quiet_table_of_our_own_is_safe(table: LakeTable) -> None:
    check(table)


def test_another_writer_of_the_last_minutes_is_waited_for(table: LakeTable) -> None:
    newest_commit(table, engineInfo="Flink/2.0")
    with pytest.raises(UnsafeError, match=r"silver/t: nothing was deleted: Flink/2\.0 committed to it 3 minutes ago"):
        check(table, now=NOW + timedelta(minutes=3))
    check(table, now=NOW + timedelta(minutes=11))
    newest_commit(table, engineInfo="Apache-Spark/4.2.0 Delta-Lake/4.4.0")
    check(table)


def test_a_shallow_clone_keeps_the_files_it_reads(table: LakeTable) -> None:
    [file] = path_of(table).glob("*.parquet")
    clone = path_of(table).parents[1] / "gold" / "clone"
    write_deltalake(str(clone), pa.table({"n": [1, 2]}))
    log = max((clone / "_delta_log").glob("*.json"))
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    for entry in entries:
        if "add" in entry:
            entry["add"]["path"] = file.as_uri()
    log.write_text("\n".join(map(json.dumps, entries)) + "\n")
    with pytest.raises(UnsafeError, match="gold/clone is a shallow clone of it and reads its files"):
        check(table)


def test_a_change_feed_is_kept_as_long_as_promised(tmp_path: Path) -> None:
    path = tmp_path / "lake" / "silver" / "t"
    promise = {"delta.enableChangeDataFeed": "true", "delta.deletedFileRetentionDuration": "interval 2 weeks"}
    write_deltalake(str(path), pa.table({"n": [1]}), configuration=promise)
    table = LakeTable(DATASET, "silver", "t", Table(str(path)))
    with pytest.raises(UnsafeError, match=r"interval 2 weeks .*vacuum_hours=168 is less; raise vacuum_hours"):
        check(table)
    check(table, hours=336)


def test_files_are_merged_only_where_the_log_tells_of_small_ones(table: LakeTable) -> None:
    assert mergeable(table) == 0
    write_deltalake(str(path_of(table)), pa.table({"n": [3]}), mode="append")
    assert (mergeable(table), DeltaTable(str(path_of(table))).version()) == (2, 1)


def test_columns_to_lay_rows_by_are_checked_and_make_no_other_tables() -> None:
    known = {"name": "t", "columns": {"n": {"required": True}}, "keys": ["n"]}
    assert Dataset.model_validate({**known, "zorder": ["n"]}).version == DATASET.version
    with pytest.raises(ValueError, match="zorder: 'x' is not a column"):
        Dataset.model_validate({**known, "zorder": ["x"]})
