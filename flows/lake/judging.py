"""From records to judged rows: typed columns beside the record as it came, and what the gate found of each.

Rules are evaluated once, when the records are written to Bronze: from then on their verdict is a column that is cheap
to read. Records that were written under other rules, or before there were verdicts, are judged again as they are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.lake.datasets import Dataset
from flows.lake.expressions import (
    FAULT,
    METADATA,
    RAW,
    RESCUED,
    RULES,
    VERDICT,
    breaks_any,
    raw_record,
    row_checks,
    rules_mark,
    text_columns,
    typed_columns,
    verdict,
)
from flows.lake.tables import ident
from flows.lake.transforms import transformed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_OWN = {*METADATA, RESCUED, FAULT, *VERDICT}


def with_verdict(dataset: Dataset, records: DataFrame, *, with_rules: bool) -> DataFrame:
    """The records of Bronze, each with its verdict. Lazy."""
    raw = _raw_names(records)
    judged = _typed(dataset, records).selectExpr("*", *verdict(dataset, with_rules=with_rules))
    back = {name: f"{ident(RAW + name)} AS {ident(name)}" for name in raw}
    return judged.selectExpr(*(back.get(name, name) for name in records.columns), *VERDICT)


def judge(dataset: Dataset, bronze: DataFrame, *, with_rules: bool, judged: bool) -> DataFrame:
    """Bronze records as typed columns with their verdict; `judged`: they bear it already, by these rules. Lazy."""
    rows = _typed(dataset, bronze if judged else bronze.drop(*VERDICT))
    return rows if judged else rows.selectExpr("*", *verdict(dataset, with_rules=with_rules))


def judged_by(dataset: Dataset, bronze: DataFrame, *, with_rules: bool) -> bool:
    """Whether all the records bear the verdict of these rules."""
    if RULES not in bronze.columns:
        return False
    found = bronze.selectExpr(f"min(coalesce({RULES}, ''))", f"max(coalesce({RULES}, ''))").collect()[0]
    mark = rules_mark(dataset, with_rules=with_rules)
    return tuple(found) == (mark, mark)


def passes(dataset: Dataset, *, with_rules: bool) -> str:
    """The condition of rows that no check keeps out of Silver."""
    return f"NOT {breaks_any(row_checks(dataset, with_rules=with_rules), 'quarantine', 'drop')}"


def _typed(dataset: Dataset, records: DataFrame) -> DataFrame:
    raw = _raw_names(records)
    # A Bronze table that only older versions wrote has no faults.
    absent = [] if FAULT in records.columns else [f"CAST(NULL AS STRING) AS {FAULT}"]
    own = [name for name in records.columns if name in _OWN]
    typed = (
        records.selectExpr(*own, *absent, *(f"{ident(name)} AS {ident(RAW + name)}" for name in raw))
        .selectExpr("*", raw_record(raw), *text_columns(dataset))
        .selectExpr("*", *typed_columns(dataset))
    )
    return transformed(dataset, typed)


def _raw_names(records: DataFrame) -> list[str]:
    return [name for name in records.columns if name not in _OWN]
