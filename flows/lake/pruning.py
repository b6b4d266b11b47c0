"""What a MERGE or a refresh need not read: bounds on columns, by which Delta leaves out files that hold no such row.

A bound follows from what is looked for anyway, so that it takes out no row; where none can be told there is none.
Types are those whose order is the same in Spark and in the statistics of files: dates, text and whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flows.lake.date_cuts import cut_date
from flows.lake.tables import Table, ident, text

if TYPE_CHECKING:
    import pyarrow as pa

    from flows.lake.datasets import Dataset, Gold

# How many days a group reaches over that is cut to a unit: those from its value on, up to the next one.
_DAYS = {"YEAR": 366, "QUARTER": 92, "MONTH": 31, "WEEK": 7, "DAY": 1}


def within(ranges: Mapping[str, tuple[Any, Any]], alias: str) -> str:
    """A condition that these columns of `alias` are in their ranges, to be put behind another; empty without any."""
    bounds = [
        f"{alias}.{ident(name)} >= {least} AND {alias}.{ident(name)} <= {greatest}"
        for name, ends in ranges.items()
        if (least := _literal(ends[0])) and (greatest := _literal(ends[1]))
    ]
    return "".join(f" AND {bound}" for bound in bounds)


def all_outside(ranges: Mapping[str, tuple[Any, Any]], files: pa.Table) -> bool:
    """Whether no file can hold a row whose columns are in their ranges: each file is outside of one of them, by its
    statistics or by its partition. `files` are a table's add actions, flattened; what is not known may be there."""
    import numpy as np
    import pyarrow.compute as pc

    outside = np.zeros(files.num_rows, bool)
    for name, (least, greatest) in ranges.items():
        if _literal(least) is None or _literal(greatest) is None:
            continue
        for lower, upper in ((f"min.{name}", f"max.{name}"), (f"partition.{name}", f"partition.{name}")):
            if {lower, upper} <= set(files.column_names):
                apart = pc.or_(pc.less(files.column(upper), least), pc.greater(files.column(lower), greatest))
                outside |= pc.fill_null(apart, False).to_numpy()
    return bool(outside.all())


def has_none(table: Table, ranges: Mapping[str, tuple[Any, Any]]) -> bool:
    """Whether the log alone tells that the table is there and holds no row in these ranges: then there is nothing to
    merge with, for which MERGE would look in two jobs. Hold the dataset."""
    import pyarrow as pa

    opened = table.opened()
    return opened is not None and all_outside(ranges, pa.table(opened.get_add_actions(flatten=True)))


def ranges_of(rows: pa.Table) -> dict[str, tuple[Any, Any]]:
    """The range of each column's values, of those without NULL whose order is the same everywhere."""
    import pyarrow.compute as pc

    found = {}
    for name in rows.column_names:
        values = rows.column(name)
        if len(values) and not values.null_count and not _is_nested(values):
            ends = pc.min_max(values).as_py()
            found[name] = (ends["min"], ends["max"])
    return {name: ends for name, ends in found.items() if _literal(ends[0]) and _literal(ends[1])}


def ranges_of_groups(dataset: Dataset, gold: Gold, groups: pa.Table) -> dict[str, tuple[Any, Any]]:
    """For columns of Silver the range in which all rows of the groups are; only columns for which that can be told."""
    import pyarrow.compute as pc

    ranges: dict[str, tuple[Any, Any]] = {}
    for name, expression in gold.group_by.items():
        column, days = _source(dataset, expression)
        values = groups.column(name)
        if column is None or values.null_count or not len(values):
            continue
        ends = pc.min_max(values).as_py()
        ranges[column] = (ends["min"], ends["max"] + timedelta(days - 1) if days else ends["max"])
    return ranges


def _is_nested(values: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_nested(values.type))


def _source(dataset: Dataset, expression: str) -> tuple[str | None, int]:
    """The column that a group's value comes from, and over how many days at most it reaches; 0 for the value itself."""
    if expression.strip("` ") in dataset.columns:
        return expression.strip("` "), 0
    if (cut := cut_date(dataset, expression)) is None:
        return None, 0
    unit, column = cut
    return column, _DAYS[unit]


def _literal(value: object) -> str | None:
    match value:
        case bool() | datetime():
            return None
        case date():
            return f"DATE {text(value.isoformat())}"
        case str():
            return text(value)
        case int():
            return f"{value}L"
    return None
