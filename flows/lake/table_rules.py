"""Rules over all rows of a file: expressions, uniqueness, freshness, volume against history, references to tables.

All but references are aggregates, counted with the row rules in one pass.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from flows.lake.books import COMPLETE
from flows.lake.datasets import Dataset
from flows.lake.definitions import TableRule
from flows.lake.errors import DatasetError
from flows.lake.expressions import Check
from flows.lake.tables import Lake, Table, ident, is_missing, text
from schemas.quality import RuleResult

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# With fewer files there is no usual volume yet: the rule then holds.
FEWEST_RUNS = 3
_ROWS = "table_rule_rows"


def table_checks(dataset: Dataset, min_rows: int, usual: float | None = None) -> list[Check]:
    """The rules that are aggregates, with the run's parameters put in; `usual` is the usual number of rows."""
    return [
        Check(rule.name, rule.severity, *_texts(rule, min_rows, usual))
        for rule in dataset.table_rules
        if rule.references is None
    ]


def usual_rows(spark: SparkSession, ledger: Table, dataset: Dataset, but: str) -> float | None:
    """The median of the rows of the last files, as far back as the dataset's volume rules look; None while too few are
    known, or if no rule asks."""
    runs = max((rule.volume.of_last for rule in dataset.table_rules if rule.volume), default=0)
    if not runs:
        return None
    try:
        rows = spark.sql(
            f"SELECT max_by(rows_in, finished_at) AS n, max(finished_at) AS at FROM {ledger.sql} "
            f"WHERE outcome = {text(COMPLETE)} AND ingest_id <> {text(but)} "
            f"GROUP BY ingest_id ORDER BY at DESC LIMIT {runs}"
        ).collect()
    except Exception as error:
        if is_missing(error):
            return None
        raise
    return float(median(row["n"] for row in rows)) if len(rows) >= FEWEST_RUNS else None


def broken_references(dataset: Dataset, lake: Lake, judged: DataFrame) -> list[RuleResult]:
    """For each rule of references, how many rows name what the other table does not have. NULL refers to nothing.

    Raises DatasetError if the other table is not there.
    """
    return [_broken(rule, lake, judged) for rule in dataset.table_rules if rule.references is not None]


def _broken(rule: TableRule, lake: Lake, judged: DataFrame) -> RuleResult:
    references = rule.references
    assert references is not None
    layer, _, name = references.table.partition("/")
    spark, other = judged.sparkSession, lake.table(layer, name)
    judged.createOrReplaceTempView(_ROWS)
    same = " AND ".join(f"r.{ident(column)} = o.{ident(known)}" for column, known in references.columns.items())
    given = " AND ".join(f"r.{ident(column)} IS NOT NULL" for column in references.columns)
    try:
        found = spark.sql(
            f"SELECT count(*) AS n FROM {_ROWS} r LEFT ANTI JOIN {other.sql} o ON {same} WHERE {given}"
        ).collect()
    except Exception as error:
        if is_missing(error):
            raise DatasetError(
                f"rule {rule.name!r} refers to {references.table}, which is not in the lake; load it first, or remove "
                "the rule from config/datasets.yaml"
            ) from error
        raise
    said = f"{', '.join(references.columns)} in {references.table}"
    return RuleResult(name=rule.name, severity=rule.severity, expression=said, failed_rows=int(found[0]["n"]))


def _texts(rule: TableRule, min_rows: int, usual: float | None) -> tuple[str, str]:
    """What people read, and what Spark evaluates."""
    if rule.unique:
        counted = f"count(DISTINCT {', '.join(map(ident, rule.unique))})"
        return f"unique ({', '.join(rule.unique)})", f"{counted} = count({_all_given(rule.unique)})"
    if fresh := rule.fresh:
        newest = f"max(CAST({ident(fresh.column)} AS TIMESTAMP))"
        said = f"newest {fresh.column} is at most {fresh.within_days} days old"
        return said, f"{newest} >= current_timestamp() - INTERVAL {fresh.within_days} DAYS"
    if volume := rule.volume:
        said = f"rows are {volume.at_least:g} to {volume.at_most:g} times as many as usual"
        if usual is None:
            return said, "true"
        return f"{said} ({usual:,.0f})", f"count(*) BETWEEN {volume.at_least * usual} AND {volume.at_most * usual}"
    expression = (rule.expression or "true").replace("{min_rows_threshold}", str(int(min_rows)))
    return expression, expression


def _all_given(columns: tuple[str, ...]) -> str:
    given = " AND ".join(f"{ident(column)} IS NOT NULL" for column in columns)
    return f"CASE WHEN {given} THEN 1 END"
