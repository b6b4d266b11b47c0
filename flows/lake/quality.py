"""The quality gate: every record of an ingestion gets a fate, and one aggregation tells how many broke each rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.lake.datasets import Dataset
from flows.lake.errors import QualityRefusedError
from flows.lake.expressions import (
    ACCEPTED,
    DROPPED,
    DUPLICATE,
    FAULT,
    METADATA,
    QUARANTINED,
    RESCUED,
    Check,
    broken_checks,
    fate,
    raw_record,
    row_checks,
    text_columns,
    typed_columns,
)
from flows.lake.tables import ident, text
from schemas.quality import RuleResult

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_BLOCKING = ("quarantine", "fail")


@dataclass(frozen=True)
class GateResult:
    """Counts of one ingestion. `rows = accepted + quarantined + dropped + duplicates`."""

    rows: int
    accepted: int
    quarantined: int
    dropped: int
    duplicates: int
    rows_failed: int
    rules: tuple[RuleResult, ...]
    rules_applied: bool

    @property
    def passed(self) -> bool:
        """Every rule of severity quarantine or fail held."""
        return not any(rule.failed_rows for rule in self.rules if rule.severity in _BLOCKING)

    @property
    def refused_by(self) -> list[RuleResult]:
        return [rule for rule in self.rules if rule.severity == "fail" and rule.failed_rows]

    def raise_if_refused(self, source: str) -> None:
        """Raise QualityRefusedError that names the rules and the numbers."""
        if self.refused_by:
            reasons = "; ".join(f"{rule.name} ({rule.expression})" for rule in self.refused_by)
            raise QualityRefusedError(
                f"{source}: refused by the quality gate: {reasons}; the file has {self.rows} rows. "
                "Silver and Gold are unchanged."
            )


def judge(dataset: Dataset, bronze: DataFrame, *, with_rules: bool) -> DataFrame:
    """Bronze records as typed columns with `_broken` (names of broken rules) and `_fate`. Lazy."""
    checks = row_checks(dataset, with_rules=with_rules)
    raw = [name for name in bronze.columns if name not in {*METADATA, FAULT}]
    # A Bronze table that only older versions wrote has no faults.
    fault = FAULT if FAULT in bronze.columns else f"CAST(NULL AS STRING) AS {FAULT}"
    kept = (*METADATA, RESCUED, FAULT)
    decided, final = fate(dataset, checks)
    return (
        bronze.selectExpr(*METADATA, RESCUED, fault, raw_record(raw), text_columns(dataset))
        .selectExpr(*kept, "_raw_record", "_text", *typed_columns(dataset))
        .selectExpr("*", broken_checks(checks))
        .selectExpr("*", decided)
        .selectExpr("*", final)
    )


def measure(dataset: Dataset, judged: DataFrame, *, with_rules: bool, min_rows: int) -> GateResult:
    """Count fates and broken rules in one pass."""
    checks = row_checks(dataset, with_rules=with_rules)
    table_rules = table_checks(dataset, min_rows) if with_rules else []
    counted = judged.selectExpr(*_aggregates(checks, table_rules))
    return gate_result(dataset, counted.collect()[0].asDict(), checks, table_rules, with_rules=with_rules)


def table_checks(dataset: Dataset, min_rows: int) -> list[Check]:
    """The rules over the whole ingestion, with the run's parameters put in."""
    checks = []
    for rule in dataset.table_rules:
        expression = rule.expression.replace("{min_rows_threshold}", str(int(min_rows)))
        checks.append(Check(rule.name, rule.severity, expression, expression))
    return checks


def gate_result(
    dataset: Dataset, counts: Mapping[str, Any], checks: list[Check], table_rules: list[Check], *, with_rules: bool
) -> GateResult:
    """The result from the aggregated row; a table rule that does not hold counts as one failed row."""
    rules = [_outcome(check, counts[f"row:{check.name}"]) for check in checks]
    rules += [_outcome(check, counts[f"table:{check.name}"]) for check in table_rules]
    duplicates = int(counts[DUPLICATE])
    unique = f"unique ({', '.join(dataset.keys)})"
    rules.append(RuleResult(name="key_unique", severity="drop", expression=unique, failed_rows=duplicates))
    return GateResult(
        rows=int(counts["rows"]),
        accepted=int(counts[ACCEPTED]),
        quarantined=int(counts[QUARANTINED]),
        dropped=int(counts[DROPPED]),
        duplicates=duplicates,
        rows_failed=int(counts["rows_failed"]),
        rules=tuple(rules),
        rules_applied=with_rules,
    )


def _aggregates(checks: list[Check], table_rules: list[Check]) -> list[str]:
    wanted = {"rows": "count(*)", "rows_failed": "count_if(size(_broken) > 0)"}
    wanted |= {name: f"count_if(_fate = '{name}')" for name in (ACCEPTED, QUARANTINED, DROPPED, DUPLICATE)}
    wanted |= {f"row:{c.name}": f"count_if(array_contains(_broken, {text(c.name)}))" for c in checks}
    wanted |= {f"table:{c.name}": f"CASE WHEN {c.sql} THEN 0 ELSE 1 END" for c in table_rules}
    return [f"{expression} AS {ident(name)}" for name, expression in wanted.items()]


def _outcome(check: Check, failed: object) -> RuleResult:
    return RuleResult(
        name=check.name, severity=check.severity, expression=check.expression, failed_rows=int(str(failed))
    )
