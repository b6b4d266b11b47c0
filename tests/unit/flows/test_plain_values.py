"""Plain texts: what is cast without Spark, and that nothing else is."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from flows.lake.plain_values import PlainValues

# Each type with texts, by the value of those that are plain.
TEXTS: dict[str, dict[str | None, Any]] = {
    "decimal(6,2)": {
        "1": Decimal("1.00"), "1.5": Decimal("1.50"), "-0.25": Decimal("-0.25"), "007.10": Decimal("7.10"),
        "1234.56": Decimal("1234.56"), "12345": None, "1.234": None, "1.500": Decimal("1.50"), "1e2": None,
        "15e-1": None, "+1": None, " 1": None, "1 ": None, "1,5": None, "": None, "-": None, ".": None, "n/a": None,
        "NaN": None, "1.2.3": None,
        "--1": None, "1-2": None, "1/2": None, "١": None, None: None,
    },
    "decimal(20,0)": {"12345678901234567890": Decimal("12345678901234567890"), "1.0": Decimal(1), "1.5": None},
    "bigint": {
        "0": 0, "-12": -12, "123456789012345678": 123456789012345678, "9223372036854775808": None, "007": None,
        "-0": None, "-07": None, "+5": None, "1.0": None, "0x1F": None, "1_000": None, "true": None, None: None,
    },
    "int": {"123456789": 123456789, "2147483648": None},
    "smallint": {"-1234": -1234, "40000": None},
    "tinyint": {"99": 99, "128": None, "300": None},
    "double": {
        "1.5": 1.5, "-3": -3.0, "0.1": 0.1, "123456789.12345": 123456789.12345, "0.12345678901234567": None,
        "1e5": None, "NaN": None, "Infinity": None, "1d": None,
    },
    "date": {
        "2024-02-29": date(2024, 2, 29), "0001-01-01": date(1, 1, 1), "2024-1-5": None, "2024-02-30": None,
        "2024-01-05 10:30:00": None, "2024": None, "05/01/2024": None, "20240105": None, None: None,
    },
}  # fmt: skip


@pytest.mark.parametrize(("type_", "text"), [(type_, text) for type_, texts in TEXTS.items() for text in texts])
def test_a_text_has_its_value_if_it_is_plain(type_: str, text: str | None) -> None:
    plain = PlainValues.of(type_)
    assert plain is not None
    found = plain.values(pa.array([text], pa.string())).to_pylist()
    if found == [None]:  # what is cast is right; what is not is left to Spark
        assert TEXTS[type_][text] is None
    else:
        assert found == [TEXTS[type_][text]]


@pytest.mark.parametrize("type_", TEXTS)
def test_odd_ones_among_many_take_the_value_of_none_but_themselves(type_: str) -> None:
    plain = PlainValues.of(type_)
    assert plain is not None
    texts = [text for text, value in TEXTS[type_].items() if value is not None or text is None or text in (" 1", "007")]
    # A slice, as a part of a column is.
    found = plain.values(pa.array(["x", *texts, "x"], pa.string()).slice(1, len(texts)))
    assert found.type == plain.type
    assert found.to_pylist() == [TEXTS[type_][text] for text in texts]


def test_a_day_that_is_none_leaves_all_of_its_block_to_spark() -> None:
    plain = PlainValues.of("date")
    assert plain is not None
    assert plain.values(pa.array(["2024-02-28", "2024-02-30"])).to_pylist() == [None, None]


@pytest.mark.parametrize("type_", ["string", "timestamp", "float", "boolean", "array<int>"])
def test_other_types_are_sparks(type_: str) -> None:
    assert PlainValues.of(type_) is None


def test_columns_without_a_text() -> None:
    plain = PlainValues.of("decimal(18,6)")
    assert plain is not None
    assert plain.values(pa.nulls(3, pa.string())).to_pylist() == [None] * 3
    assert plain.values(pa.array([], pa.string())).to_pylist() == []
