"""Which types the columns of Silver have, and whether a definition whose types changed since fits into them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from flows.lake.bronze_types import canonical
from flows.lake.datasets import Dataset
from flows.lake.errors import DatasetError
from flows.lake.tables import Table

# Whole numbers in the order of their width, with the digits that each may have.
_DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}
_OTHERS = {"float", "double", "date", "timestamp", "timestamp_ntz", "boolean", "string", "binary"}
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")


def kept_types(table: Table, dataset: Dataset) -> dict[str, str]:
    """The types in which the table has the definition's columns, of those that differ from the definition's.

    Raises DatasetError if values of the new type may not fit into a column's. Empty without a table, or where Spark
    alone reaches it.
    """
    from deltalake.schema import PrimitiveType

    if (opened := table.opened()) is None:
        return {}
    there = {f.name: canonical(f.type.type) for f in opened.schema().fields if isinstance(f.type, PrimitiveType)}
    wanted = {name: canonical(column.type) for name, column in dataset.columns.items() if name in there}
    differ = {name: (type_, there[name]) for name, type_ in wanted.items() if type_ != there[name]}
    if conflicts := {name: types for name, types in differ.items() if not _may_fit(*types)}:
        raise DatasetError(_refusal(table, dataset, conflicts))
    return {name: kept for name, (type_, kept) in differ.items() if _fits(type_, kept)}


def _refusal(table: Table, dataset: Dataset, conflicts: Mapping[str, tuple[str, str]]) -> str:
    said = "; ".join(f"column {name} is {kept} there and {new} now" for name, (new, kept) in conflicts.items())
    return (
        f"dataset {dataset.name!r}: the definition does not fit Silver ({table.path}): {said}. Nothing was written. "
        "Take back the type, or one that fits into the column's, or give the new column another name"
    )


def _may_fit(new: str, kept: str) -> bool:
    """What is not known here, such as nested types and text of a length, is left to Spark."""
    return not (_is_known(new) and _is_known(kept)) or _fits(new, kept)


def _is_known(type_: str) -> bool:
    return type_ in _DIGITS or type_ in _OTHERS or _DECIMAL.fullmatch(type_) is not None


def _fits(new: str, kept: str) -> bool:
    """Whether each value of the one type is one of the other."""
    if decimal := _DECIMAL.fullmatch(kept):
        digits, scale = _digits(new)
        return digits is not None and digits <= int(decimal[1]) - int(decimal[2]) and scale <= int(decimal[2])
    if new in _DIGITS and kept in _DIGITS:
        return _DIGITS[new] <= _DIGITS[kept]
    return (new, kept) == ("float", "double")


def _digits(type_: str) -> tuple[int | None, int]:
    """Digits before the point, and behind it; None for what is no exact number."""
    if decimal := _DECIMAL.fullmatch(type_):
        return int(decimal[1]) - int(decimal[2]), int(decimal[2])
    return _DIGITS.get(type_), 0
