"""In which type Bronze keeps a column, and which texts such a type does not hold to the letter. Pure text of Spark SQL.

A value that a type does not hold is never lost: Bronze keeps the record as it came beside it (`flows.lake.judging`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from flows.lake.definitions import Column

TEXT = "string"
_ALIASES = {
    "long": "bigint",
    "integer": "int",
    "short": "smallint",
    "byte": "tinyint",
    "real": "float",
    "decimal": "decimal(10,0)",
}
_DECIMAL = re.compile(r"(?:decimal|dec|numeric)\((\d+)(?:,(\d+))?\)")


def canonical(type_: str) -> str:
    """A Spark SQL type as Spark itself writes it: types are the same if these are."""
    written = re.sub(r"\s+", "", type_.lower())
    if decimal := _DECIMAL.fullmatch(written):
        return f"decimal({decimal[1]},{decimal[2] or 0})"
    return _ALIASES.get(written, written)


def kept_type(column: Column) -> str:
    """The type of the column in a new Bronze table: its own, or TEXT where its value is more than its text cast."""
    type_ = canonical(column.type)
    if column.expression or column.normalise or not (type_ in _LOSES or type_.startswith("decimal")):
        return TEXT
    return type_


def loses(given: str, type_: str) -> str:
    """Whether a cast of the text `given` (an expression, trimmed) to the type may change what it says, though it can be
    cast. Rather true than false: it decides on a copy, not on the value."""
    if decimal := _DECIMAL.fullmatch(type_):
        return _decimal_loses(given, int(decimal[2] or 0))
    return _LOSES[type_](given)


def plain_text(value: str, type_: str) -> str:
    """The text of a typed value: as people write it, so that any type it fits reads it back."""
    written = f"CAST({value} AS STRING)"
    if (decimal := _DECIMAL.fullmatch(type_)) and int(decimal[2] or 0):
        return f"TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {written}))"
    return written


def _decimal_loses(given: str, scale: int) -> str:
    """More decimals than the type has. A text of a point and so many digits at most needs no closer look."""
    size, point = f"octet_length({given})", f"locate('.', {given})"
    more = f"{size} > {scale + 1} AND {point} > 0 AND {point} <= {size} - {scale + 1}"
    return f"({more}) OR {_small(given)}"


def _small(given: str) -> str:
    """A negative exponent."""
    return f"(contains({given}, '-') AND locate('-', {given}, 2) > 0)"


def _whole(given: str) -> str:
    """Leading zeros and signs: a code that was taken for a number."""
    zeros = f"startswith({given}, '0') AND octet_length({given}) > 1"
    return f"({zeros}) OR startswith({given}, '-0') OR startswith({given}, '+')"


def _double(given: str) -> str:
    return f"octet_length({given}) > 15 OR {_small(given)}"


def _float(given: str) -> str:
    return f"octet_length({given}) > 6 OR {_small(given)}"


def _date(given: str) -> str:
    """A time behind the date, or another spelling."""
    return f"octet_length({given}) <> 10"


def _timestamp(given: str) -> str:
    """More than microseconds, or a time alone, which Spark takes for one of today."""
    return f"octet_length({given}) > 26 OR locate(':', {given}) BETWEEN 1 AND 10"


def _boolean(given: str) -> str:
    return f"lower({given}) NOT IN ('true', 'false')"


_LOSES: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(("bigint", "int", "smallint", "tinyint"), _whole),
    "double": _double,
    "float": _float,
    "date": _date,
    "timestamp": _timestamp,
    "boolean": _boolean,
}
