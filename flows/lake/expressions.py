"""From a dataset's definition to Spark SQL: typed columns, the rules each row is held against, and its fate.

Pure text; what it yields runs the same on Spark Connect and on a classic driver.
"""

from __future__ import annotations

from dataclasses import dataclass

from flows.lake.datasets import INGESTED_AT, Column, Dataset
from flows.lake.tables import ident, text
from schemas.quality import RuleSeverity

ACCEPTED, QUARANTINED, DROPPED, DUPLICATE = "accepted", "quarantined", "dropped", "duplicate"
METADATA = (INGESTED_AT, "_source_file", "_source_sha256", "_event_id", "_run_id", "_ingest_id", "_row_number")
# A record that cannot be a row, as it was written, and why.
RESCUED, FAULT = "_rescued_data", "_fault"


@dataclass(frozen=True)
class Check:
    """A rule for one row. `expression` is what people read, `sql` what Spark evaluates over the typed row."""

    name: str
    severity: RuleSeverity
    expression: str
    sql: str


def text_columns(dataset: Dataset) -> str:
    """A struct of the trimmed raw values; an empty one counts as absent and gives way to the column's default."""
    fields = ", ".join(f"{text(name)}, {_given(name, column)}" for name, column in dataset.columns.items())
    return f"named_struct({fields}) AS _text"


def typed_columns(dataset: Dataset) -> list[str]:
    """One expression per column, from `_text`; a value that cannot be cast becomes NULL."""
    return [f"{_typed(name, column)} AS {ident(name)}" for name, column in dataset.columns.items()]


def structural_checks(dataset: Dataset) -> list[Check]:
    """What Silver cannot do without, whatever the dataset's own rules are."""
    checks = [Check("well_formed", "quarantine", f"{RESCUED} IS NULL", f"{RESCUED} IS NULL")]
    for name, column in dataset.columns.items():
        raw, typed = f"_text.{ident(name)}", ident(name)
        if column.required:
            checks.append(Check(f"{name}_present", "quarantine", f"{name} IS NOT NULL", f"{raw} IS NOT NULL"))
        if column.type != "string" or column.expression:
            readable = f"{name} IS NULL OR try_cast({name} AS {column.type}) IS NOT NULL"
            checks.append(Check(f"{name}_valid", "quarantine", readable, f"{raw} IS NULL OR {typed} IS NOT NULL"))
    return checks


def row_checks(dataset: Dataset, *, with_rules: bool) -> list[Check]:
    """The structural checks, and the dataset's rules unless they are switched off."""
    own = [Check(rule.name, rule.severity, rule.expression, rule.expression) for rule in dataset.rules]
    return structural_checks(dataset) + (own if with_rules else [])


def broken_checks(checks: list[Check]) -> str:
    """The names of the checks that a row breaks. NULL counts as held: absence has a check of its own."""
    cases = ", ".join(f"CASE WHEN NOT ({check.sql}) THEN {text(check.name)} END" for check in checks)
    return f"array_compact(array({cases})) AS _broken"


def fate(dataset: Dataset, checks: list[Check]) -> list[str]:
    """Two steps: what the checks decide, then which row of a key stays (the last of the file)."""
    keys = ", ".join(ident(key) for key in dataset.keys)
    decided = (
        f"CASE WHEN {_breaks_any(checks, 'quarantine')} THEN '{QUARANTINED}' "
        f"WHEN {_breaks_any(checks, 'drop')} THEN '{DROPPED}' ELSE '{ACCEPTED}' END AS _decided"
    )
    newest = f"row_number() OVER (PARTITION BY _decided, {keys} ORDER BY _row_number DESC)"
    final = f"CASE WHEN _decided = '{ACCEPTED}' AND {newest} > 1 THEN '{DUPLICATE}' ELSE _decided END AS _fate"
    return [decided, final]


def raw_record(columns: list[str]) -> str:
    """The record as it came, as JSON."""
    return f"to_json(struct({', '.join(ident(name) for name in columns)})) AS _raw_record"


def _given(name: str, column: Column) -> str:
    given = f"nullif(trim({ident(name)}), '')"
    return f"coalesce({given}, {column.default})" if column.default else given


def _typed(name: str, column: Column) -> str:
    value = f"_text.{ident(name)}"
    if column.normalise:
        value = f"{column.normalise}({value})"
    if column.expression:
        return column.expression.replace("{text}", value)
    return value if column.type == "string" else f"try_cast({value} AS {column.type})"


def _breaks_any(checks: list[Check], severity: RuleSeverity) -> str:
    names = [text(check.name) for check in checks if check.severity == severity]
    return f"arrays_overlap(_broken, array({', '.join(names)}))" if names else "false"
