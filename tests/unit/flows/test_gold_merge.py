"""A few groups of Gold merged by deltalake: replaced, added, left alone; and what is left to Spark."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from flows.lake.datasets import Gold
from flows.lake.gold import _merged_here
from flows.lake.tables import Table

GOLD = Gold.model_validate(
    # Names that SQL has a meaning for.
    {"group_by": {"regiao": "regiao", "order": "data"}, "aggregates": {"total": "sum(valor)", "count": "count(*)"}}
)
SCHEMA = pa.schema(
    [("regiao", pa.string()), ("order", pa.date32()), ("total", pa.decimal128(18, 2)), ("count", pa.int64())]
)


def groups(*rows: tuple[str | None, int, str, int]) -> pa.Table:
    """Region, day of January, total and count of each."""
    full = [(region, date(2024, 1, day), Decimal(total), count) for region, day, total, count in rows]
    columns = zip(*full, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.table(arrays, schema=SCHEMA)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    place = tmp_path / "gold"
    write_deltalake(place, groups(("sul", 1, "1.50", 1), (None, 1, "2.00", 2), ("norte", 2, "3.00", 3)))
    return Table(str(place))


def content(table: Table) -> list[tuple[Any, ...]]:
    rows = DeltaTable(table.path).to_pyarrow_table().to_pylist()
    return sorted((r["regiao"] or "", r["order"].day, str(r["total"]), r["count"]) for r in rows)


def test_touched_groups_are_replaced_and_new_ones_added_and_no_other_changes(table: Table) -> None:
    fresh = groups(("sul", 1, "9.25", 4), (None, 1, "7.00", 5), ("sul", 2, "1.00", 1), ("norte", 1, "0.10", 1))
    assert _merged_here(table, GOLD, fresh)
    assert content(table) == [
        ("", 1, "7.00", 5),
        ("norte", 1, "0.10", 1),
        ("norte", 2, "3.00", 3),
        ("sul", 1, "9.25", 4),
        ("sul", 2, "1.00", 1),
    ]


def test_the_same_again_writes_no_version(table: Table) -> None:
    fresh = groups(("sul", 1, "9.25", 4), ("sul", 2, "1.00", 1))
    assert _merged_here(table, GOLD, fresh)
    version, before = DeltaTable(table.path).version(), content(table)
    assert _merged_here(table, GOLD, fresh)
    assert (DeltaTable(table.path).version(), content(table)) == (version, before)


@pytest.mark.parametrize(
    "schema",
    [
        SCHEMA.set(3, pa.field("count", pa.int32())),
        SCHEMA.append(pa.field("media", pa.float64())),
        SCHEMA.set(2, pa.field("total", pa.decimal128(20, 3))),
    ],
)
def test_columns_that_are_new_or_of_another_type_are_left_to_spark(table: Table, schema: pa.Schema) -> None:
    before = content(table)
    assert not _merged_here(table, GOLD, schema.empty_table())
    assert content(table) == before


def test_a_table_with_a_change_feed_is_left_to_spark(tmp_path: Path) -> None:
    place = tmp_path / "told"
    write_deltalake(place, groups(("sul", 1, "1.50", 1)), configuration={"delta.enableChangeDataFeed": "true"})
    assert not _merged_here(Table(str(place)), GOLD, groups(("sul", 1, "9.25", 4)))
    assert content(Table(str(place))) == [("sul", 1, "1.50", 1)]


def test_a_table_that_is_not_there_is_left_to_spark(tmp_path: Path) -> None:
    assert not _merged_here(Table(str(tmp_path / "none")), GOLD, SCHEMA.empty_table())
