"""The quality gate: the verdicts in Bronze tell how many rows broke each rule, and what becomes of the file. They are
counted here where Bronze can be read, else by one aggregation of Spark. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flows.lake.datasets import Dataset
from flows.lake.duplicates import superseded
from flows.lake.errors import QualityRefusedError
from flows.lake.expressions import BROKEN, Check, breaks_any, row_checks
from flows.lake.judging import passes
from flows.lake.records import Records
from flows.lake.tables import ident, text
from flows.lake.verdicts import holds_by_count, tally
from schemas.quality import RuleResult

if TYPE_CHECKING:
    import pyarrow as pa
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


@dataclass(frozen=True)
class Measured:
    """The gate's result, the numbers of the rows that a later one in the file supersedes, and the least and greatest
    value of each key among the rows that passed (of those keys that have one)."""

    gate: GateResult
    superseded: pa.Table
    key_ranges: Mapping[str, tuple[Any, Any]]


def measure(
    dataset: Dataset,
    judged: DataFrame,
    *,
    with_rules: bool,
    table_rules: Sequence[Check] = (),
    references: Sequence[RuleResult] = (),
    records: Records | None = None,
) -> Measured:
    """Count what broke each rule, and find the rows that a later one of the same key in the file supersedes.

    `records`: the same in Bronze, with verdicts by these rules; then Spark is asked only what they do not tell.
    """
    checks = row_checks(dataset, with_rules=with_rules)
    if records is None:
        wanted = [*_aggregates(checks), *_of_table(table_rules), *_ends(dataset.keys, checks)]
        counts, hashes, ranges = _asked(judged, wanted), None, {}
    else:
        counted = tally(records, dataset, checks)
        counts, hashes, ranges = dict(counted.counts), counted.hashes, dict(counted.ranges)
        outcomes = {check.name: holds_by_count(check.sql, counts["rows"]) for check in table_rules}
        counts |= {f"table:{name}": int(not holds) for name, holds in outcomes.items() if holds is not None}
        open_rules = [check for check in table_rules if outcomes[check.name] is None]
        open_keys = [key for key in dataset.keys if key not in ranges]
        counts |= _asked(judged, [*_of_table(open_rules), *_ends(open_keys, checks)])
    found = superseded(dataset, judged, counts["passed"], checks, hashes, records)
    counts["duplicates"] = found.num_rows
    gate = gate_result(dataset, counts, checks, table_rules, with_rules=with_rules)
    ranges |= {key: (counts[f"least:{key}"], counts[f"greatest:{key}"]) for key in dataset.keys if key not in ranges}
    known = {key: ends for key, ends in ranges.items() if None not in ends}
    return Measured(replace(gate, rules=(*gate.rules, *references)), found, known)


def _asked(judged: DataFrame, wanted: Sequence[str]) -> dict[str, Any]:
    """The aggregates of all rows, in one pass of Spark; none for none."""
    return judged.selectExpr(*wanted).collect()[0].asDict() if wanted else {}


def accepted(dataset: Dataset, judged: DataFrame, measured: Measured) -> DataFrame:
    """The rows that belong into Silver. Lazy."""
    kept = judged.where(passes(dataset, with_rules=measured.gate.rules_applied))
    if not measured.superseded.num_rows:
        return kept
    return kept.join(judged.sparkSession.createDataFrame(measured.superseded), "_row_number", "left_anti")


def _ends(keys: Sequence[str], checks: Sequence[Check]) -> list[str]:
    """The least and the greatest value of these keys of the rows that passed, as `least:KEY` and `greatest:KEY`."""
    passed = f"NOT {breaks_any(checks, 'quarantine', 'drop')}"
    return [
        f"{function}(CASE WHEN {passed} THEN {ident(key)} END) AS {ident(f'{name}:{key}')}"
        for key in keys
        for name, function in (("least", "min"), ("greatest", "max"))
    ]


def gate_result(
    dataset: Dataset,
    counts: Mapping[str, Any],
    checks: Sequence[Check],
    table_rules: Sequence[Check],
    *,
    with_rules: bool,
) -> GateResult:
    """The result from the aggregated row; a table rule that does not hold counts as one failed row."""
    rules = [_outcome(check, counts[f"row:{check.name}"]) for check in checks]
    rules += [_outcome(check, counts[f"table:{check.name}"]) for check in table_rules]
    duplicates = int(counts["duplicates"])
    unique = f"unique ({', '.join(dataset.keys)})"
    rules.append(RuleResult(name="key_unique", severity="drop", expression=unique, failed_rows=duplicates))
    return GateResult(
        rows=int(counts["rows"]),
        accepted=int(counts["passed"]) - duplicates,
        quarantined=int(counts["quarantined"]),
        dropped=int(counts["dropped"]),
        duplicates=duplicates,
        rows_failed=int(counts["rows_failed"]),
        rules=tuple(rules),
        rules_applied=with_rules,
    )


def _aggregates(checks: Sequence[Check]) -> list[str]:
    held, dropped = breaks_any(checks, "quarantine"), breaks_any(checks, "drop")
    wanted = {
        "rows": "count(*)",
        "rows_failed": f"count_if({BROKEN} IS NOT NULL)",
        "quarantined": f"count_if({held})",
        "dropped": f"count_if({dropped} AND NOT {held})",
        "passed": f"count_if(NOT {held} AND NOT {dropped})",
    }
    return [*(f"{expression} AS {ident(name)}" for name, expression in wanted.items()), *rule_counts(checks)]


def _of_table(rules: Sequence[Check]) -> list[str]:
    return [f"CASE WHEN {c.sql} THEN 0 ELSE 1 END AS {ident(f'table:{c.name}')}" for c in rules]


def rule_counts(checks: Sequence[Check]) -> list[str]:
    """How many rows broke each check, over `_broken`, as `row:NAME`."""
    return [f"count_if(array_contains({BROKEN}, {text(c.name)})) AS {ident(f'row:{c.name}')}" for c in checks]


def _outcome(check: Check, failed: object) -> RuleResult:
    return RuleResult(
        name=check.name, severity=check.severity, expression=check.expression, failed_rows=int(str(failed))
    )
