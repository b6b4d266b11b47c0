"""Bounds that spare reading: they hold every row that is looked for, and are left out where none can be told."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from flows.lake.datasets import Dataset, Gold
from flows.lake.pruning import has_none, ranges_of, ranges_of_groups, within
from flows.lake.tables import Table

DATASET = Dataset.model_validate(
    {
        "name": "t",
        "columns": {
            "who": {"required": True},
            "day": {"type": "date", "required": True},
            "at": {"type": "timestamp", "required": True},
            "n": {"type": "bigint"},
        },
        "keys": ["who", "day", "at"],
    }
)


def ranges(expression: str, *values: Any) -> dict[str, tuple[Any, Any]]:
    gold = Gold(group_by={"g": expression}, aggregates={"total": "sum(n)"})
    return ranges_of_groups(DATASET, gold, pa.table({"g": list(values)}))


@pytest.mark.parametrize(
    ("unit", "last"),
    [
        ("YEAR", "2024-12-31"),
        ("QUARTER", "2024-03-31"),
        ("MONTH", "2024-01-31"),
        ("week", "2024-01-07"),
        ("DAY", "2024-01-01"),
    ],
)
def test_the_days_of_a_cut_date_are_all_within(unit: str, last: str) -> None:
    found = ranges(f"CAST(date_trunc('{unit}', day) AS DATE)", date(2023, 1, 1), date(2024, 1, 1))
    first, end = found["day"]
    assert first == date(2023, 1, 1)
    assert end >= date.fromisoformat(last)


def test_a_column_itself_is_within_its_own_values() -> None:
    assert ranges("who", "b", "a", "c") == {"who": ("a", "c")}


@pytest.mark.parametrize(
    "expression", ["upper(who)", "year(day)", "CAST(date_trunc('MONTH', at) AS DATE)", "date_trunc('MONTH', day)", "x"]
)
def test_where_nothing_can_be_told_there_is_no_bound(expression: str) -> None:
    assert ranges(expression, date(2024, 1, 1)) == {}


def test_groups_without_a_value_have_no_bound() -> None:
    assert ranges("who", "a", None) == {}
    assert (
        ranges_of_groups(
            DATASET,
            Gold(group_by={"g": "who"}, aggregates={"total": "sum(n)"}),
            pa.table({"g": pa.array([], pa.string())}),
        )
        == {}
    )


def test_bounds_are_literals_of_types_that_have_an_exact_one() -> None:
    bounds = within(
        {
            "who": ("O'x", "z"),
            "day": (date(2024, 1, 1), date(2024, 2, 1)),
            "n": (1, 2),
            "at": (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)),
            "price": (Decimal("1.5"), Decimal("2.5")),
        },
        "t",
    )
    assert bounds == (
        r" AND t.`who` >= 'O\'x' AND t.`who` <= 'z'"
        " AND t.`day` >= DATE '2024-01-01' AND t.`day` <= DATE '2024-02-01'"
        " AND t.`n` >= 1L AND t.`n` <= 2L"
    )
    assert within({}, "t") == ""


def test_the_ranges_of_groups_leave_out_what_has_no_common_order() -> None:
    groups = pa.table(
        {
            "who": ["b", "a"],
            "day": [date(2024, 1, 2), date(2024, 1, 1)],
            "n": [2, 1],
            "gap": ["x", None],
            "price": [Decimal(1), Decimal(2)],
            "parts": [[1], [2]],
        }
    )
    assert ranges_of(groups) == {"who": ("a", "b"), "day": (date(2024, 1, 1), date(2024, 1, 2)), "n": (1, 2)}
    assert ranges_of(groups.slice(0, 0)) == {}


def test_a_table_has_none_of_what_its_log_excludes(tmp_path: Path) -> None:
    table = Table(str(tmp_path / "t"))
    assert not has_none(table, {"n": (5, 6)})  # not there yet: it is written, not appended to
    write_deltalake(table.path, pa.table({"n": [1, 2]}))
    write_deltalake(table.path, pa.table({"n": [8, 9]}), mode="append")
    assert has_none(table, {"n": (3, 7)})
    assert not has_none(table, {"n": (2, 7)})
    assert not has_none(table, {"other": (3, 7)})
