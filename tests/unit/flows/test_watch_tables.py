"""The lake's health from the logs of real Delta tables."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from flows.watch.tables import ROOT, LakeHealth, TableHealth, look_at_lake

NOW = datetime.now(UTC)
LOG = "_delta_log/{:020}.json"


def write(folder: Path, times: int = 2) -> Path:
    """Two rows at a time, in two partitions."""
    for _ in range(times):
        write_deltalake(str(folder), pa.table({"x": [1, 2], "p": ["a", "b"]}), mode="append", partition_by=["p"])
    return folder


def table(health: LakeHealth, name: str) -> TableHealth:
    return next(table for table in health.tables if table.name == name)


def test_each_table_of_each_layer_with_version_age_rows_files_and_bytes(tmp_path: Path) -> None:
    for layer in ("bronze", "silver", "gold", "quarantine", "ledger"):
        write(tmp_path / layer / "ações")
    write(tmp_path / "gold" / "_staging")

    health = look_at_lake(str(tmp_path), datetime.now(UTC))

    assert [t.name for t in health.tables] == [f"{layer}/ações" for layer in ("bronze", "silver", "gold", "quarantine")]
    silver = table(health, "silver/ações")
    assert (silver.version, silver.rows, silver.files, silver.small_files) == (1, 4, 4, 4)
    assert silver.size_bytes == sum(f.stat().st_size for f in (tmp_path / "silver" / "ações").rglob("*.parquet"))
    assert 0 <= (silver.age_s(datetime.now(UTC)) or -1) < 60
    assert {m.name: m.value for m in silver.measurements(NOW)}.items() >= {
        "table.rows": 4.0,
        "table.files": 4.0,
        "table.size_bytes": float(silver.size_bytes),
    }.items()
    assert silver.updated is not None
    [age] = [m for m in silver.measurements(silver.updated + timedelta(hours=1)) if m.name == "table.age_seconds"]
    assert (age.value, age.unit) == (3600, "s")
    assert health.is_whole
    assert not [check for check in health.checks if check.reason]


def test_only_the_newest_version_counts(tmp_path: Path) -> None:
    folder = write(tmp_path / "bronze" / "t")
    write_deltalake(str(folder), pa.table({"x": [9], "p": ["a"]}), mode="overwrite", partition_by=["p"])
    only = table(look_at_lake(str(tmp_path), NOW), "bronze/t")
    assert (only.version, only.rows, only.files, only.small_files) == (2, 1, 1, 0)


def test_a_table_is_read_from_a_checkpoint_too(tmp_path: Path) -> None:
    folder = write(tmp_path / "bronze" / "t", times=3)
    DeltaTable(str(folder)).create_checkpoint()
    (folder / LOG.format(0)).unlink()
    assert table(look_at_lake(str(tmp_path), NOW), "bronze/t").rows == 6


@pytest.mark.parametrize(
    ("version", "content", "reason"),
    [
        pytest.param(1, b"{broken", "Json error", id="cut off"),
        pytest.param(0, b"", "No table metadata or protocol", id="empty"),
        pytest.param(0, bytes(range(256)), "Json error", id="not text"),
        pytest.param(1, b'{"protocol":{"minReaderVersion":99,"minWriterVersion":99}}', "99", id="from the future"),
        pytest.param(0, None, "gap", id="a version is missing"),
    ],
)
def test_a_table_that_cannot_be_read_fails_its_check_and_no_other(
    tmp_path: Path, version: int, content: bytes | None, reason: str
) -> None:
    write(tmp_path / "silver" / "good")
    broken = write(tmp_path / "silver" / "broken") / LOG.format(version)
    if content is None:
        write(tmp_path / "silver" / "broken", times=1)
        (tmp_path / "silver" / "broken" / LOG.format(1)).unlink()
    else:
        broken.write_bytes(content)

    health = look_at_lake(str(tmp_path), NOW)

    failing = table(health, "silver/broken")
    assert failing.check.reason is not None
    assert failing.check.reason.startswith("the table cannot be read: ")
    assert reason in failing.check.reason
    assert failing.check.reason.isprintable()
    assert failing.measurements(NOW) == []
    assert table(health, "silver/good").check.reason is None


def test_a_directory_without_a_table_is_a_finding_once_no_first_write_can_be_under_way(tmp_path: Path) -> None:
    folder = tmp_path / "gold" / "nothing"
    (folder / "p=a").mkdir(parents=True)
    (folder / "p=a" / "part-0.parquet").write_bytes(b"x")
    assert look_at_lake(str(tmp_path), datetime.now(UTC)).tables == ()
    for path in (folder / "p=a" / "part-0.parquet", folder / "p=a", folder):
        os.utime(path, (0, 0))
    [nothing] = look_at_lake(str(tmp_path), NOW).tables
    assert nothing.check.reason == "the directory holds no Delta table"


def test_a_lake_that_is_not_there_yet_is_well_and_empty(tmp_path: Path) -> None:
    health = look_at_lake(str(tmp_path / "later"), NOW)
    assert (health.tables, health.is_whole, [c.reason for c in health.checks]) == ((), True, [None])


def test_a_lake_that_cannot_be_read_is_one_finding_about_its_root(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file")
    health = look_at_lake(str(tmp_path / "lake"), NOW)
    assert not health.is_whole
    [check] = health.checks
    assert check.subject == ROOT
    assert "is no directory" in (check.reason or "")


def test_a_lake_elsewhere_is_said_to_be_unseen() -> None:
    health = look_at_lake("hdfs://lake", NOW)
    assert (health.checks, health.is_whole) == ([], False)
    assert "LAKE_ROOT=hdfs://lake is neither on a local disk nor in an S3 store" in health.unseen
