"""Dates cut to a month, a week and the like, as groups of Gold write them: `CAST(date_trunc('MONTH', day) AS DATE)`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flows.lake.tables import ident

if TYPE_CHECKING:
    from flows.lake.datasets import Dataset, Gold

_CUT = re.compile(r"CAST\(\s*date_trunc\(\s*'(YEAR|QUARTER|MONTH|WEEK|DAY)'\s*,\s*(\w+)\s*\)\s+AS\s+DATE\s*\)", re.I)


def cut_date(dataset: Dataset, expression: str) -> tuple[str, str] | None:
    """Unit (upper case) and column, if the expression cuts a column of dates and does nothing else."""
    cut = _CUT.fullmatch(expression.strip())
    if cut is None or (column := dataset.columns.get(cut[2])) is None or column.type.lower() != "date":
        return None
    return cut[1].upper(), cut[2]


def with_plain_cuts(dataset: Dataset, gold: Gold) -> Gold:
    """The same groups without a way through timestamps and their time zone, which costs several times what the
    aggregates do."""
    return gold.model_copy(update={"group_by": {n: _plain(dataset, e) for n, e in gold.group_by.items()}})


def _plain(dataset: Dataset, expression: str) -> str:
    if (cut := cut_date(dataset, expression)) is None:
        return expression
    unit, column = cut
    day = f"CAST({ident(column)} AS DATE)"  # which it is, unless Silver is older than its definition
    # `trunc` does not know days: a date is one.
    return day if unit == "DAY" else f"trunc({day}, '{unit}')"
