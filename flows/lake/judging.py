"""From records to judged rows: typed columns beside the record as it came, and what the gate found of each.

Rules are evaluated once, when the records are written to Bronze: from then on their verdict is a column that is cheap
to read. Records that were written under other rules, or before there were verdicts, are judged again as they are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.lake.bronze_types import TEXT, canonical, kept_type, plain_text
from flows.lake.datasets import Dataset
from flows.lake.expressions import (
    FAULT,
    GIVEN,
    KEPT,
    METADATA,
    PLAIN,
    RAW,
    RAW_RECORD,
    RESCUED,
    RULES,
    VERDICT,
    breaks_any,
    given_columns,
    is_as_kept,
    kept_columns,
    raw_record,
    raw_record_if_needed,
    row_checks,
    rules_mark,
    says_more,
    text_columns,
    typed_columns,
    verdict,
)
from flows.lake.tables import ident, text
from flows.lake.transforms import transformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pyspark.sql import DataFrame

_OWN = {*METADATA, RESCUED, FAULT, RAW_RECORD, *VERDICT}
_KEPT_RECORD = "_kept_record"
# `coalesce` to more partitions than there are leaves all as they are.
_MORE_THAN_TASKS = 1_000_000


def bronze_types(dataset: Dataset, names: Iterable[str], there: Mapping[str, str]) -> dict[str, str]:
    """The types in which Bronze keeps the columns: those that its table has (`there`) stay what they are."""
    columns = dataset.columns
    new = {name: kept_type(columns[name]) if name in columns else TEXT for name in names}
    return {name: canonical(there.get(name, type_)) for name, type_ in new.items()}


def with_verdict(dataset: Dataset, read: DataFrame, there: Mapping[str, str], *, with_rules: bool) -> DataFrame:
    """Records as they were read, all text, as Bronze keeps them: typed, each with its verdict, and as it came where
    something would be lost. `there`: the types of the table's columns, if there is one. Lazy."""
    raw = _raw_names(read)
    types = bronze_types(dataset, raw, there)
    own = [name for name in read.columns if name in _OWN]
    plain = _plain_in(read, types)
    kept = (
        read.selectExpr(*own, *(PLAIN + n for n in plain), *(f"{ident(name)} AS {ident(RAW + name)}" for name in raw))
        .selectExpr("*", *given_columns(raw, plain))
        .selectExpr("*", *kept_columns(types, plain))
    )
    # A hook may have put other values in their place.
    same = {name for name in raw if dataset.transform is None and is_as_kept(dataset, name, types[name])}
    typed = _typed(dataset, kept.selectExpr("*", says_more(types, plain)), types).drop(
        *(GIVEN + name for name in raw), *(KEPT + name for name in same), *(PLAIN + name for name in plain)
    )
    # What is plain came as such a number.
    rows = typed if plain else _compact(typed)
    judged = rows.selectExpr("*", *verdict(dataset, with_rules=with_rules))
    kept_as = {name: name if name in same else (RAW if types[name] == TEXT else KEPT) + name for name in raw}
    back = {name: f"{ident(kept_as[name])} AS {ident(name)}" for name in raw}
    columns = (name for name in read.columns if not name.startswith(PLAIN))
    return judged.selectExpr(*(back.get(name, name) for name in columns), raw_record_if_needed(types), *VERDICT)


def _compact(rows: DataFrame) -> DataFrame:
    """The same rows in Spark's binary form. A decimal that was just cast is an object, and slow to compare; written
    down it is a number of eight bytes. Of the operators that have rows written down this one does nothing else."""
    return rows.coalesce(_MORE_THAN_TASKS)


def judge(dataset: Dataset, bronze: DataFrame, *, with_rules: bool, judged: bool) -> DataFrame:
    """Bronze records as typed columns with their verdict; `judged`: they bear it already, by these rules. Lazy."""
    there = dict(bronze.dtypes)
    types = {name: canonical(type_) for name, type_ in there.items() if name not in _OWN}
    types |= {name: TEXT for name in dataset.columns if name not in types}
    # Tables that only older versions wrote lack some columns.
    absent = [name for name in (*types, FAULT, RAW_RECORD) if name not in there]
    records = bronze.selectExpr("*", *(f"CAST(NULL AS STRING) AS {ident(name)}" for name in absent))
    own = [name for name in (*there, *absent) if name in _OWN and (judged or name not in VERDICT)]
    kept = [f"{ident(name)} AS {ident(KEPT + name)}" for name, type_ in types.items() if type_ != TEXT]
    read = records.selectExpr(
        *(f"{RAW_RECORD} AS {_KEPT_RECORD}" if name == RAW_RECORD else name for name in own), *_as_read(types), *kept
    ).selectExpr("*", *given_columns(dataset.columns))
    whole = f"coalesce({_KEPT_RECORD}, {raw_record(types)}) AS {RAW_RECORD}"
    rows = _typed(dataset, read, types).selectExpr("*", whole)
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


def _typed(dataset: Dataset, read: DataFrame, types: Mapping[str, str]) -> DataFrame:
    """Beside the values as they came those of the definition's types."""
    texts = read.selectExpr("*", *text_columns(dataset))
    return transformed(dataset, texts.selectExpr("*", *typed_columns(dataset, types)))


def _as_read(types: Mapping[str, str]) -> list[str]:
    """The values as they came, of the records of Bronze: by the record that is kept whole, else by the typed value."""
    return [f"{_as_it_came(name, type_)} AS {ident(RAW + name)}" for name, type_ in types.items()]


def _as_it_came(name: str, type_: str) -> str:
    if type_ == TEXT:
        return ident(name)
    return f"coalesce(get_json_object({RAW_RECORD}, {text('$.' + name)}), {plain_text(ident(name), type_)})"


def _raw_names(records: DataFrame) -> list[str]:
    return [name for name in records.columns if name not in _OWN and not name.startswith(PLAIN)]


def _plain_in(read: DataFrame, types: Mapping[str, str]) -> list[str]:
    """The columns some of whose values were cast when the file was staged, to the type in which Bronze keeps them."""
    there = set(read.dtypes)
    return [name for name, type_ in types.items() if (PLAIN + name, type_) in there]
