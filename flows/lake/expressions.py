"""From a dataset's definition to Spark SQL: typed columns, the rules each row is held against, and what it broke.

Pure text; what it yields runs the same on Spark Connect and on a classic driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flows.lake.datasets import INGESTED_AT, Column, Dataset
from flows.lake.tables import ident, text
from schemas.quality import RuleSeverity

METADATA = (INGESTED_AT, "_source_file", "_source_sha256", "_event_id", "_run_id", "_ingest_id", "_row_number")
# A record that cannot be a row, as it was written, and why.
RESCUED, FAULT = "_rescued_data", "_fault"
# What the gate found when the record was written to Bronze: the names of broken checks (NULL: none), by which rules,
# and a hash of the typed key. Kept there, as to evaluate rules once, beside the write, costs next to nothing.
BROKEN, RULES, KEY_HASH = "_broken", "_rules_version", "_key_hash"
VERDICT = (BROKEN, RULES, KEY_HASH)
# A record as it came keeps its values under these names, beside the typed ones.
RAW, _TEXT = "_raw_", "_text_"


@dataclass(frozen=True)
class Check:
    """A rule for one row. `expression` is what people read, `sql` what Spark evaluates over the typed row."""

    name: str
    severity: RuleSeverity
    expression: str
    sql: str


def text_columns(dataset: Dataset) -> list[str]:
    """The trimmed raw values; an empty one counts as absent and gives way to the column's default."""
    return [f"{_given(name, column)} AS {_text_of(name)}" for name, column in dataset.columns.items()]


def typed_columns(dataset: Dataset) -> list[str]:
    """One expression per column, from its text; a value that cannot be cast becomes NULL."""
    return [f"{_typed(name, column)} AS {ident(name)}" for name, column in dataset.columns.items()]


def structural_checks(dataset: Dataset) -> list[Check]:
    """What Silver cannot do without, whatever the dataset's own rules are."""
    checks = [Check("well_formed", "quarantine", f"{RESCUED} IS NULL", f"{RESCUED} IS NULL")]
    for name, column in dataset.columns.items():
        raw, typed = _text_of(name), ident(name)
        if column.required:
            # A hook may have put in what the file leaves out.
            there = f"{raw} IS NOT NULL OR {typed} IS NOT NULL" if dataset.transform else f"{raw} IS NOT NULL"
            checks.append(Check(f"{name}_present", "quarantine", f"{name} IS NOT NULL", there))
        if column.type != "string" or column.expression:
            readable = f"{name} IS NULL OR try_cast({name} AS {column.type}) IS NOT NULL"
            checks.append(Check(f"{name}_valid", "quarantine", readable, f"{raw} IS NULL OR {typed} IS NOT NULL"))
    return checks


def row_checks(dataset: Dataset, *, with_rules: bool) -> list[Check]:
    """The structural checks, and the dataset's rules unless they are switched off."""
    own = [Check(rule.name, rule.severity, rule.expression, rule.expression) for rule in dataset.rules]
    return structural_checks(dataset) + (own if with_rules else [])


def rules_mark(dataset: Dataset, *, with_rules: bool) -> str:
    """What a verdict was made by; one by another definition, or without the dataset's own rules, is another."""
    return dataset.version if with_rules else f"{dataset.version} without rules"


def verdict(dataset: Dataset, *, with_rules: bool) -> list[str]:
    """The columns of VERDICT, from typed columns."""
    return [
        broken_checks(row_checks(dataset, with_rules=with_rules)),
        f"{text(rules_mark(dataset, with_rules=with_rules))} AS {RULES}",
        f"xxhash64({', '.join(ident(key) for key in dataset.keys)}) AS {KEY_HASH}",
    ]


def broken_checks(checks: list[Check]) -> str:
    """The names of the checks that a row breaks, NULL if it breaks none. A check that is NULL counts as held: absence
    has a check of its own."""
    held = " AND ".join(f"coalesce({check.sql}, true)" for check in checks) or "true"
    cases = ", ".join(f"CASE WHEN NOT ({check.sql}) THEN {text(check.name)} END" for check in checks)
    return f"CASE WHEN NOT ({held}) THEN array_compact(array({cases})) END AS {BROKEN}"


def breaks_any(checks: Sequence[Check], *severities: RuleSeverity) -> str:
    """Whether a row broke a check of these severities, over `_broken`; never NULL."""
    names = [text(check.name) for check in checks if check.severity in severities]
    if not names:
        return "false"
    return f"({BROKEN} IS NOT NULL AND arrays_overlap({BROKEN}, array({', '.join(names)})))"


def raw_record(columns: list[str]) -> str:
    """The record as it came, as JSON."""
    fields = ", ".join(f"{text(name)}, {ident(RAW + name)}" for name in [*columns])
    return f"to_json(named_struct({fields}, {text(RESCUED)}, {RESCUED})) AS _raw_record"


def _text_of(name: str) -> str:
    return ident(_TEXT + name)


def _given(name: str, column: Column) -> str:
    given = f"nullif(trim({ident(RAW + name)}), '')"
    return f"coalesce({given}, {column.default})" if column.default else given


def _typed(name: str, column: Column) -> str:
    value = _text_of(name)
    if column.normalise:
        value = f"{column.normalise}({value})"
    if column.expression:
        return column.expression.replace("{text}", value)
    return value if column.type == "string" else f"try_cast({value} AS {column.type})"
