"""The types of Bronze, and what of it is counted without Spark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import dataset as ds
from pyarrow.compute import field

from flows.lake.bronze_types import TEXT, canonical, kept_type, loses
from flows.lake.datasets import Column, Dataset
from flows.lake.duplicates import by_kept_keys, repeated
from flows.lake.expressions import Check
from flows.lake.judging import bronze_types
from flows.lake.pruning import all_outside
from flows.lake.records import Records
from flows.lake.verdicts import holds_by_count, tally

CHECKS = [Check("bad", "quarantine", "", ""), Check("left_out", "drop", "", ""), Check("odd", "warn", "", "")]


def dataset(**who: Any) -> Dataset:
    columns = {"who": {"required": True, **who}, "day": {"type": "date", "required": True}, "n": {"type": "long"}}
    return Dataset.model_validate({"name": "d", "columns": columns, "keys": ["who", "day"]})


@pytest.mark.parametrize(
    ("column", "type_"),
    [
        (Column(type="Decimal(18, 6)"), "decimal(18,6)"),
        (Column(type="NUMERIC(5)"), "decimal(5,0)"),
        (Column(type="long"), "bigint"),
        (Column(type="DATE"), "date"),
        (Column(type="date", default="current_date()"), "date"),
        (Column(), TEXT),
        (Column(type="date", expression="to_date({text}, 'd/M/y')"), TEXT),
        (Column(type="boolean", normalise="lower"), TEXT),
        (Column(type="array<int>"), TEXT),
        (Column(type="varchar(3)"), TEXT),
    ],
)
def test_a_column_has_its_own_type_where_its_value_is_a_cast_of_its_text(column: Column, type_: str) -> None:
    assert kept_type(column) == type_
    assert (type_ == TEXT) == (canonical(column.type) != type_ or type_ == "string")
    if type_ != TEXT:
        assert "x" in loses("x", type_)


def test_the_columns_of_a_table_stay_what_they_are() -> None:
    there = {"day": "string", "extra": "decimal(10,0)", "_run_id": "string"}
    assert bronze_types(dataset(), ["who", "day", "n", "extra", "more"], there) == {
        "who": "string",
        "day": "string",
        "n": "bigint",
        "extra": "decimal(10,0)",
        "more": "string",
    }


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("count(*) >= 10", True),
        ("COUNT(*) > 10", False),
        ("count(*) BETWEEN 5.0 AND 9.5", False),
        ("count(*) BETWEEN 5.0 AND 10", True),
        ("true", True),
        ("count(*) >= 10 AND max(n) > 0", None),
        ("count(n) >= 10", None),
    ],
)
def test_rules_over_the_number_of_rows_need_no_spark(rule: str, holds: bool | None) -> None:
    assert holds_by_count(rule, 10) is holds


Row = tuple[int, str, date, int, list[str] | None]
DAY, NEXT = date(2024, 1, 1), date(2024, 1, 2)
ROWS: list[Row] = [
    (1, "a", DAY, 7, None),
    (2, " b", DAY, 8, ["odd"]),
    (3, "é", NEXT, 9, ["bad", "odd"]),
    (4, "a", DAY, 7, None),
    (5, "z", NEXT, 7, ["left_out", "bad"]),
    (6, "a", DAY, 7, ["left_out"]),
]


def records(folder: Path, rows: Sequence[Row]) -> Records:
    names = ["_row_number", "who", "day", "_key_hash", "_broken"]
    types = [pa.int64(), pa.string(), pa.date32(), pa.int64(), pa.list_(pa.string())]
    mine = pa.table([pa.array(c, t) for c, t in zip(zip(*rows, strict=True), types, strict=True)], names)
    mine = mine.append_column("_ingest_id", pa.array(["mine"] * len(rows)))
    other = mine.set_column(5, "_ingest_id", pa.array(["other"] * len(rows)))
    # Small fragments, so that the counts are those of several batches.
    parts = [table.slice(start, 2) for table in (mine, other) for start in range(0, len(rows), 2)]
    ds.write_dataset(ds.dataset(pa.concat_tables(parts)), folder, format="parquet", max_rows_per_file=2,
                     max_rows_per_group=2)  # fmt: skip
    return Records(ds.dataset(folder), field("_ingest_id") == "mine")


def test_verdicts_of_a_file_are_counted_a_batch_at_a_time(tmp_path: Path) -> None:
    found = tally(records(tmp_path, ROWS), dataset(normalise="upper"), CHECKS)
    assert found.counts == {
        "rows": 6, "rows_failed": 4, "quarantined": 2, "dropped": 1, "passed": 3,
        "row:bad": 2, "row:left_out": 2, "row:odd": 2,
    }  # fmt: skip
    assert found.hashes is not None
    assert sorted(found.hashes) == [7, 7, 8]
    assert found.ranges == {"who": ("A", "B"), "day": (DAY, DAY)}


def test_one_record_of_an_ingestion_is_read_without_the_others(tmp_path: Path) -> None:
    assert records(tmp_path, ROWS).first(["_ingest_id", "day"]).to_pylist()[0]["_ingest_id"] == "mine"
    nobody = Records(ds.dataset(tmp_path), field("_ingest_id") == "nobody")
    with pytest.raises(StopIteration):
        nobody.first(["_ingest_id"])


def test_keys_whose_values_only_spark_can_tell_have_no_range(tmp_path: Path) -> None:
    file = records(tmp_path, [*ROWS, (7, "ß", DAY, 6, None)])
    assert set(tally(file, dataset(normalise="upper"), CHECKS).ranges) == {"day"}
    assert set(tally(file, dataset(default="_source_file"), CHECKS).ranges) == {"day"}


def test_of_rows_with_one_key_the_last_that_passed_stays(tmp_path: Path) -> None:
    file = records(tmp_path, ROWS)
    found = by_kept_keys(file, dataset(), CHECKS, repeated(np.array([7, 8, 7])))
    assert found is not None
    assert found.to_pydict() == {"_row_number": [1]}


def test_equal_hashes_of_other_keys_are_for_spark_to_tell_apart(tmp_path: Path) -> None:
    file = records(tmp_path, [*ROWS, (7, "A", DAY, 7, None)])
    assert by_kept_keys(file, dataset(), CHECKS, np.array([7])) is None
    assert by_kept_keys(file, dataset(default="_source_file"), CHECKS, np.array([7])) is None


def test_files_are_outside_only_if_each_is_by_what_is_known_of_it() -> None:
    days = {"min.day": [DAY, DAY], "max.day": [DAY, NEXT]}
    files = pa.table({"path": ["x", "y"], "partition.region": ["N", "S"], **days})
    later = {"day": (date(2024, 1, 3), date(2024, 2, 1))}
    assert all_outside(later, files)
    assert not all_outside({"day": (NEXT, date(2024, 2, 1))}, files)
    assert all_outside({"day": (NEXT, date(2024, 2, 1)), "region": ("N", "N")}, files)
    assert not all_outside({}, files)
    assert not all_outside({"n": (1, 2)}, files)
    unknown = files.set_column(3, "max.day", pa.array([DAY, None], pa.date32()))
    assert not all_outside(later, unknown)
