"""Quality audit: Silver held against the rules as they are now, and Gold against what Silver says now. Reads only.

Rules change after rows were let in, and hands reach tables behind the gate's back; the gate sees only new files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.lake.datasets import Dataset, Gold
from flows.lake.expressions import Check, broken_checks
from flows.lake.gold import recomputed
from flows.lake.tables import ident, text
from flows.upkeep.inventory import LakeTable
from schemas.quality import RuleResult, RuleSeverity

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MAX_EXAMPLES = 5
# Above this many rows of Silver, to aggregate all of it anew would take longer than a weekly look is worth.
MAX_ROWS_TO_RECOMPUTE = 20_000_000
_BLOCKING = ("quarantine", "fail")
_ROWS, _FRESH, _DOUBLE_TOLERANCE = "audit_rows", "audit_fresh", 1e-9


@dataclass(frozen=True)
class Example:
    """A row that breaks rules: its key as JSON, and the names of the rules."""

    key: str
    rules: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """What one table was held against. `note` says what was not looked at, and why."""

    table: str
    location: str
    dataset: str
    rows: int
    rows_failed: int
    rules: tuple[RuleResult, ...]
    examples: tuple[Example, ...] = ()
    note: str = ""

    @property
    def passed(self) -> bool:
        """Every rule of severity quarantine or fail holds."""
        return not any(rule.failed_rows for rule in self.rules if rule.severity in _BLOCKING)


def audit_silver(spark: SparkSession, table: LakeTable) -> Audit:
    """Every row against presence, the dataset's rules and the uniqueness of its key."""
    dataset = table.dataset
    checks = silver_checks(dataset)
    rows = _with_all_columns(table.table.read(spark), dataset).selectExpr("*", broken_checks(checks))
    rows.createOrReplaceTempView(_ROWS)
    counts = {check.name: f"count_if(array_contains(_broken, {text(check.name)}))" for check in checks}
    named = ", ".join(f"{sql} AS {ident(name)}" for name, sql in counts.items())
    found = spark.sql(f"SELECT count(*) AS _n, count_if(size(_broken) > 0) AS _bad, {named} FROM {_ROWS}").collect()[0]
    doubled = _surplus(spark, _ROWS, dataset.keys)
    results = [_result(check.name, check.severity, check.expression, found[check.name]) for check in checks]
    results.append(_result("key_unique", "fail", f"unique ({', '.join(dataset.keys)})", doubled))
    return Audit(
        table=table.full_name,
        location=table.table.path,
        dataset=dataset.name,
        rows=found["_n"],
        rows_failed=min(found["_n"], found["_bad"] + doubled),
        rules=tuple(results),
        examples=_examples(spark, dataset) if found["_bad"] else (),
    )


def silver_checks(dataset: Dataset) -> list[Check]:
    """What can still be asked of typed rows: that required values are there, and the dataset's own rules."""
    required = [name for name, column in dataset.columns.items() if column.required]
    present = [f"{name} IS NOT NULL" for name in required]
    checks = [
        Check(f"{name}_present", "quarantine", said, f"{ident(name)} IS NOT NULL")
        for name, said in zip(required, present, strict=True)
    ]
    return checks + [Check(rule.name, rule.severity, rule.expression, rule.expression) for rule in dataset.rules]


def audit_gold(spark: SparkSession, table: LakeTable, silver: LakeTable | None) -> Audit:
    """Groups unique, and the same groups with the same aggregates as Silver yields."""
    gold = table.dataset.gold[table.name]
    rows = table.table.read(spark)
    rows.createOrReplaceTempView(_ROWS)
    count = rows.count()
    results = [
        _result("group_unique", "fail", f"unique ({', '.join(gold.group_by)})", _surplus(spark, _ROWS, gold.group_by))
    ]
    note = ""
    if silver is None:
        note = "not compared with Silver: there is no Silver table"
    elif silver.table.read(spark).count() > MAX_ROWS_TO_RECOMPUTE:
        note = f"not compared with Silver: it has more than {MAX_ROWS_TO_RECOMPUTE:,} rows"
    else:
        results += _against_silver(spark, rows, silver, gold)
    groups = count + sum(rule.failed_rows for rule in results if rule.name == "group_missing")
    return Audit(
        table=table.full_name,
        location=table.table.path,
        dataset=table.dataset.name,
        rows=groups,
        rows_failed=min(groups, sum(rule.failed_rows for rule in results)),
        rules=tuple(results),
        note=note,
    )


def _against_silver(spark: SparkSession, rows: DataFrame, silver: LakeTable, gold: Gold) -> list[RuleResult]:
    recomputed(spark, silver.table, gold).selectExpr("*", "true AS _there").createOrReplaceTempView(_FRESH)
    types = dict(rows.dtypes)
    same_group = " AND ".join(f"f.{ident(name)} <=> g.{ident(name)}" for name in gold.group_by)
    same = " AND ".join(same_value(name, types.get(name)) for name in gold.aggregates)
    found = spark.sql(
        f"SELECT count_if(g._there IS NULL) AS missing, count_if(f._there IS NULL) AS surplus, "
        f"count_if(f._there AND g._there AND NOT ({same})) AS different "
        f"FROM {_FRESH} f FULL OUTER JOIN (SELECT *, true AS _there FROM {_ROWS}) g ON {same_group}"
    ).collect()[0]
    # What was purged from Silver stays in Gold on purpose; without a retention nothing should be purged.
    surplus: RuleSeverity = "warn" if "silver" in silver.dataset.retention else "fail"
    return [
        _result("group_missing", "fail", "every group of Silver is in Gold", found["missing"]),
        _result("group_current", "fail", "aggregates are what Silver yields", found["different"]),
        _result("group_known", surplus, "every group has rows in Silver", found["surplus"]),
    ]


def same_value(name: str, type_name: str | None) -> str:
    """Whether a column is alike on both sides; doubles up to the order in which they were added up."""
    column = ident(name)
    if type_name is None:  # the definition has it, the table not yet
        return "false"
    if type_name in {"double", "float"}:
        close = f"abs(f.{column} - g.{column}) <= {_DOUBLE_TOLERANCE} * greatest(abs(f.{column}), abs(g.{column}))"
        return f"(f.{column} <=> g.{column} OR coalesce({close}, false))"
    return f"f.{column} <=> g.{column}"


def _with_all_columns(rows: DataFrame, dataset: Dataset) -> DataFrame:
    """Columns that the definition got after the table was last written are absent values."""
    new = [name for name in dataset.columns if name not in rows.columns]
    return rows.selectExpr("*", *(f"CAST(NULL AS {dataset.columns[name].type}) AS {ident(name)}" for name in new))


def _surplus(spark: SparkSession, view: str, key: tuple[str, ...] | dict[str, str]) -> int:
    columns = ", ".join(map(ident, key))
    found = spark.sql(f"SELECT coalesce(sum(n - 1), 0) AS n FROM (SELECT count(*) AS n FROM {view} GROUP BY {columns})")
    return int(found.collect()[0]["n"])


def _examples(spark: SparkSession, dataset: Dataset) -> tuple[Example, ...]:
    keys = ", ".join(map(ident, dataset.keys))
    rows = spark.sql(
        f"SELECT to_json(struct({keys})) AS key, _broken FROM {_ROWS} WHERE size(_broken) > 0 "
        f"ORDER BY {keys} LIMIT {MAX_EXAMPLES}"
    ).collect()
    return tuple(Example(row["key"], tuple(row["_broken"])) for row in rows)


def _result(name: str, severity: RuleSeverity, expression: str, failed: int) -> RuleResult:
    return RuleResult(name=name, severity=severity, expression=expression, failed_rows=int(failed))
