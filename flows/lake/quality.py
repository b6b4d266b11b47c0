"""The quality gate: one aggregation over the verdicts in Bronze tells how many rows broke each rule, and what becomes
of the file. Nothing is written here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from flows.lake.datasets import Dataset
from flows.lake.errors import QualityRefusedError
from flows.lake.expressions import BROKEN, KEY_HASH, Check, breaks_any, row_checks
from flows.lake.judging import passes
from flows.lake.tables import ident, text
from schemas.quality import RuleResult

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from pyspark.sql import DataFrame

_BLOCKING = ("quarantine", "fail")
# Up to so many rows their hashes (8 bytes each) are sorted here, which takes a fraction of a shuffle in Spark.
_HASHES_HERE = 20_000_000


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
) -> Measured:
    """Count what broke each rule, and find the rows that a later one of the same key in the file supersedes."""
    checks = row_checks(dataset, with_rules=with_rules)
    counts = judged.selectExpr(*_aggregates(checks, table_rules), *_ends(dataset, checks)).collect()[0].asDict()
    superseded = _superseded(dataset, judged, counts["passed"], with_rules=with_rules)
    counts["duplicates"] = superseded.num_rows
    gate = gate_result(dataset, counts, checks, table_rules, with_rules=with_rules)
    ranges = {key: (counts[f"least:{key}"], counts[f"greatest:{key}"]) for key in dataset.keys}
    known = {key: ends for key, ends in ranges.items() if None not in ends}
    return Measured(replace(gate, rules=(*gate.rules, *references)), superseded, known)


def accepted(dataset: Dataset, judged: DataFrame, measured: Measured) -> DataFrame:
    """The rows that belong into Silver. Lazy."""
    kept = judged.where(passes(dataset, with_rules=measured.gate.rules_applied))
    if not measured.superseded.num_rows:
        return kept
    return kept.join(judged.sparkSession.createDataFrame(measured.superseded), "_row_number", "left_anti")


def _superseded(dataset: Dataset, judged: DataFrame, rows: int, *, with_rules: bool) -> pa.Table:
    """Numbers of rows whose key comes again later in the file. Most files have none: to look for equal hashes reads one
    column of eight bytes; only rows with such a hash are compared by their keys and sorted."""
    import pyarrow as pa

    kept = judged.where(passes(dataset, with_rules=with_rules))
    if rows > _HASHES_HERE:
        alike = kept.groupBy(KEY_HASH).count().where("count > 1").select(KEY_HASH)
    else:
        repeated = _repeated(kept.select(KEY_HASH).toArrow().column(KEY_HASH))
        if not len(repeated):
            return pa.table({"_row_number": pa.array([], pa.int64())})
        alike = judged.sparkSession.createDataFrame(pa.table({KEY_HASH: repeated}))
    keys = ", ".join(map(ident, dataset.keys))
    later = f"row_number() OVER (PARTITION BY {keys} ORDER BY _row_number DESC) AS _age"
    table = (
        kept.join(alike, KEY_HASH, "left_semi")
        .selectExpr("_row_number", later)
        .where("_age > 1")
        .select("_row_number")
        .toArrow()
    )
    return cast("pa.Table", table)


def _repeated(values: pa.ChunkedArray) -> NDArray[np.int64]:
    """The values that are there more than once, each once."""
    import numpy as np

    ordered = np.sort(values.to_numpy())
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _ends(dataset: Dataset, checks: Sequence[Check]) -> list[str]:
    """The least and the greatest value of each key of the rows that passed, as `least:KEY` and `greatest:KEY`."""
    passed = f"NOT {breaks_any(checks, 'quarantine', 'drop')}"
    return [
        f"{function}(CASE WHEN {passed} THEN {ident(key)} END) AS {ident(f'{name}:{key}')}"
        for key in dataset.keys
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


def _aggregates(checks: Sequence[Check], table_rules: Sequence[Check]) -> list[str]:
    held, dropped = breaks_any(checks, "quarantine"), breaks_any(checks, "drop")
    wanted = {
        "rows": "count(*)",
        "rows_failed": f"count_if({BROKEN} IS NOT NULL)",
        "quarantined": f"count_if({held})",
        "dropped": f"count_if({dropped} AND NOT {held})",
        "passed": f"count_if(NOT {held} AND NOT {dropped})",
    }
    wanted |= {f"table:{c.name}": f"CASE WHEN {c.sql} THEN 0 ELSE 1 END" for c in table_rules}
    return [*(f"{expression} AS {ident(name)}" for name, expression in wanted.items()), *rule_counts(checks)]


def rule_counts(checks: Sequence[Check]) -> list[str]:
    """How many rows broke each check, over `_broken`, as `row:NAME`."""
    return [f"count_if(array_contains({BROKEN}, {text(c.name)})) AS {ident(f'row:{c.name}')}" for c in checks]


def _outcome(check: Check, failed: object) -> RuleResult:
    return RuleResult(
        name=check.name, severity=check.severity, expression=check.expression, failed_rows=int(str(failed))
    )
