"""The order in which the files of a table are put: at no time does a reader find a part of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from flows.upkeep.log_order import doors, putting_order

WHOLE = [0, 1, 2, 3]


def rows(path: Path) -> list[int] | None:
    """What a reader finds; None for no table, or none that can be read."""
    try:
        table = DeltaTable(str(path)).to_pyarrow_table()
    except Exception:  # whatever deltalake says of files that are no table yet
        return None
    return sorted(table.column("n").to_pylist())


@pytest.fixture(params=["from version 0", "with a checkpoint", "from a checkpoint", "from the newest version"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "table"
    for version in WHOLE:
        write_deltalake(
            str(path), pa.table({"n": [version], "day": [version % 2]}), mode="append", partition_by=["day"]
        )
        if version == (3 if request.param == "from the newest version" else 2) and request.param != "from version 0":
            DeltaTable(str(path)).create_checkpoint()
    if request.param.startswith("from a") or request.param.endswith("newest version"):
        for version in (0, 1):
            (path / "_delta_log" / f"{version:020}.json").unlink()
    return path


def test_a_table_is_there_as_a_whole_or_not_at_all_while_it_is_put_and_taken_away(table: Path, tmp_path: Path) -> None:
    order = putting_order(str(file.relative_to(table)) for file in table.rglob("*") if file.is_file())
    copy, found = tmp_path / "copy", []
    for path in order:
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(table / path, copy / path)
        found.append(rows(copy))
    for path in reversed(order):
        found.append(rows(copy))
        (copy / path).unlink()
    assert len(found) == 2 * len(order)
    assert [seen for seen in found if seen not in (None, WHOLE)] == []
    before = len(order) - len(doors(order))
    assert set(map(str, found[:before])) == {"None"}
    assert found[len(order) - 1] == found[len(order)] == WHOLE


def test_what_is_no_log_is_put_first_and_version_0_last() -> None:
    log = "_delta_log"
    paths = [
        f"{log}/{0:020}.json", f"{log}/{3:020}.json", f"{log}/{0:020}.crc", f"{log}/_last_checkpoint", "n=1/a.parquet",
        f"{log}/{2:020}.checkpoint.parquet", f"{log}/{3:020}.checkpoint.{1:010}.{2:010}.parquet",
        f"{log}/_sidecars/x.parquet", f"{log}/{0:020}.{2:020}.compacted.json",
    ]  # fmt: skip
    order = putting_order(paths)
    assert order[0] == "n=1/a.parquet"
    assert order[-5:] == doors(paths)
    assert [path.removeprefix(f"{log}/") for path in order[-5:]] == [
        f"{3:020}.checkpoint.{1:010}.{2:010}.parquet", f"{2:020}.checkpoint.parquet", "_last_checkpoint",
        f"{0:020}.{2:020}.compacted.json", f"{0:020}.json",
    ]  # fmt: skip
