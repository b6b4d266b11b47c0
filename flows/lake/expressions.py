"""From a dataset's definition to Spark SQL: typed columns, the rules each row is held against, and what it broke.

Pure text; what it yields runs the same on Spark Connect and on a classic driver.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from flows.lake.bronze_types import TEXT, canonical, loses
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
# The record as it came. Bronze keeps it where typed columns do not say all that it said.
RAW_RECORD = "_raw_record"
# While a record is judged its values are beside the typed ones, as they came and as Bronze keeps them.
RAW, KEPT, GIVEN, _TEXT = "_read_", "_kept_", "_given_", "_text_"
# The value of a text that was plain enough to be cast while the file was staged, and the record's number in the file.
PLAIN, POSITION = "_plain_", "_position"
_MORE = "_more"


@dataclass(frozen=True)
class Check:
    """A rule for one row. `expression` is what people read, `sql` what Spark evaluates over the typed row."""

    name: str
    severity: RuleSeverity
    expression: str
    sql: str


def given_columns(names: Iterable[str], plain: Container[str] = ()) -> list[str]:
    """The trimmed texts; an empty one counts as absent. What is plain needs no trimming."""
    trimmed = {name: f"nullif(trim({ident(RAW + name)}), '')" for name in names}
    seen = {n: f"CASE WHEN {ident(PLAIN + n)} IS NULL THEN {trimmed[n]} ELSE {ident(RAW + n)} END" for n in trimmed}
    return [f"{seen[name] if name in plain else trimmed[name]} AS {_given_of(name)}" for name in trimmed]


def text_columns(dataset: Dataset) -> list[str]:
    """The texts, of which an absent one gives way to the column's default."""
    return [f"{_given(name, column)} AS {_text_of(name)}" for name, column in dataset.columns.items()]


def typed_columns(dataset: Dataset, types: Mapping[str, str]) -> list[str]:
    """One expression per column, from its text, or as Bronze keeps it where that is the same; `types` are Bronze's. A
    value that cannot be cast becomes NULL."""
    return [f"{_typed(dataset, name, types[name])} AS {ident(name)}" for name in dataset.columns]


def kept_columns(types: Mapping[str, str], plain: Container[str]) -> list[str]:
    """The values that Bronze keeps in a type, from the record as it came; `plain`: the columns that may be cast
    already."""
    cast = {name: f"try_cast({_given_of(name)} AS {type_})" for name, type_ in types.items() if type_ != TEXT}
    return [
        f"{f'coalesce({ident(PLAIN + name)}, {value})' if name in plain else value} AS {ident(KEPT + name)}"
        for name, value in cast.items()
    ]


def says_more(types: Mapping[str, str], plain: Container[str]) -> str:
    """Whether a value of the record may not be what its type holds of it, as `_more`; what is plain is just that."""
    lost = {
        name: f"({_given_of(name)} IS NOT NULL AND ({ident(KEPT + name)} IS NULL OR {loses(_given_of(name), type_)}))"
        for name, type_ in types.items()
        if type_ != TEXT
    }
    # Spark may look at both sides of an AND beforehand; what is behind a CASE it leaves alone.
    seen = (
        f"CASE WHEN {ident(PLAIN + n)} IS NULL THEN {x} ELSE false END" if n in plain else x for n, x in lost.items()
    )
    return f"{' OR '.join(seen) or 'false'} AS {_MORE}"


def raw_record_if_needed(names: Iterable[str]) -> str:
    """The record as it came, where it broke a check or says more than its types hold; else NULL."""
    return f"CASE WHEN {BROKEN} IS NOT NULL OR {_MORE} THEN {raw_record(names)} END AS {RAW_RECORD}"


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
    # Names have no comma; `array_compact` would keep Spark from compiling all that is around it.
    return f"CASE WHEN NOT ({held}) THEN split(concat_ws(',', {cases}), ',') END AS {BROKEN}"


def breaks_any(checks: Sequence[Check], *severities: RuleSeverity) -> str:
    """Whether a row broke a check of these severities, over `_broken`; never NULL."""
    names = [text(check.name) for check in checks if check.severity in severities]
    if not names:
        return "false"
    return f"({BROKEN} IS NOT NULL AND arrays_overlap({BROKEN}, array({', '.join(names)})))"


def raw_record(columns: Iterable[str]) -> str:
    """The record as it came, as JSON."""
    fields = ", ".join(f"{text(name)}, {ident(RAW + name)}" for name in columns)
    return f"to_json(named_struct({fields}, {text(RESCUED)}, {RESCUED}))"


def _given_of(name: str) -> str:
    return ident(GIVEN + name)


def _text_of(name: str) -> str:
    return ident(_TEXT + name)


def _given(name: str, column: Column) -> str:
    return f"coalesce({_given_of(name)}, {column.default})" if column.default else _given_of(name)


def is_as_kept(dataset: Dataset, name: str, kept: str) -> bool:
    """Whether the typed value is the one that Bronze keeps in the type `kept`, before a hook may replace it."""
    column = dataset.columns.get(name)
    if column is None or kept == TEXT or column.default or column.expression or column.normalise:
        return False
    return kept == canonical(column.type)


def _typed(dataset: Dataset, name: str, kept: str) -> str:
    if is_as_kept(dataset, name, kept):
        return ident(KEPT + name)
    column, value = dataset.columns[name], _text_of(name)
    if column.normalise:
        value = f"{column.normalise}({value})"
    if column.expression:
        return column.expression.replace("{text}", value)
    return value if column.type == TEXT else f"try_cast({value} AS {column.type})"
