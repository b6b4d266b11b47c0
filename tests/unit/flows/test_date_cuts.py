"""Dates cut to a unit: which expressions are that, and how Gold writes them without a way through timestamps."""

from __future__ import annotations

import pytest

from flows.lake.datasets import Dataset, Gold
from flows.lake.date_cuts import cut_date, with_plain_cuts

DATASET = Dataset.model_validate(
    {
        "name": "t",
        "columns": {"who": {"required": True}, "day": {"type": "date", "required": True}, "at": {"type": "timestamp"}},
        "keys": ["who", "day"],
    }
)


def test_only_a_cut_of_a_column_of_dates_is_written_otherwise() -> None:
    groups = {
        "who": "who",
        "month": "CAST(date_trunc('MONTH', day) AS DATE)",
        "on": "cast( date_trunc( 'day' , day ) as date )",
        "of_time": "CAST(date_trunc('MONTH', at) AS DATE)",
        "more": "CAST(date_trunc('MONTH', day) AS DATE) + INTERVAL 1 DAY",
        "other": "CAST(date_trunc('MONTH', nobody) AS DATE)",
    }
    gold = Gold(group_by=groups, aggregates={"n": "count(*)"})
    plain = with_plain_cuts(DATASET, gold)
    assert plain.group_by == groups | {"month": "trunc(CAST(`day` AS DATE), 'MONTH')", "on": "CAST(`day` AS DATE)"}
    assert (plain.aggregates, gold.group_by) == (gold.aggregates, groups)


@pytest.mark.parametrize("unit", ["YEAR", "quarter", "Month", "WEEK", "DAY"])
def test_a_cut_tells_its_unit_and_column(unit: str) -> None:
    assert cut_date(DATASET, f" CAST(date_trunc('{unit}', day) AS DATE) ") == (unit.upper(), "day")
    assert cut_date(DATASET, f"CAST(date_trunc('{unit}', at) AS DATE)") is None
