"""A definition whose types changed since Silver was made: what fits is taken, what does not is refused by name."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from flows.lake.datasets import Dataset
from flows.lake.errors import DatasetError
from flows.lake.silver_types import kept_types
from flows.lake.tables import Table

WIDE = pa.schema(
    [
        ("key", pa.string()),
        ("whole", pa.int64()),
        ("price", pa.decimal128(18, 6)),
        ("share", pa.float64()),
        ("tags", pa.list_(pa.string())),
    ]
)


def dataset(**types: str) -> Dataset:
    columns = {"key": {"required": True}} | {name: {"type": type_} for name, type_ in types.items()}
    return Dataset.model_validate({"name": "t", "columns": columns, "keys": ["key"]})


@pytest.fixture
def silver(tmp_path: Path) -> Table:
    row = {"key": "a", "whole": 1, "price": Decimal(1), "share": 0.5, "tags": ["x"]}
    write_deltalake(str(tmp_path / "silver"), pa.Table.from_pylist([row], schema=WIDE))
    return Table(str(tmp_path / "silver"))


def test_the_same_types_and_new_columns_are_as_they_are_defined(silver: Table, tmp_path: Path) -> None:
    same = dataset(whole="long", price="DECIMAL(18, 6)", share="double", other="date")
    assert kept_types(silver, same) == {}
    assert kept_types(Table(str(tmp_path / "none")), dataset(whole="string")) == {}


@pytest.mark.parametrize(
    ("name", "type_", "kept"),
    [
        ("whole", "int", "bigint"),
        ("whole", "byte", "bigint"),
        ("price", "decimal(10,2)", "decimal(18,6)"),
        ("price", "int", "decimal(18,6)"),
        ("share", "float", "double"),
    ],
)
def test_what_fits_is_written_in_the_type_of_the_column(silver: Table, name: str, type_: str, kept: str) -> None:
    assert kept_types(silver, dataset(**{name: type_})) == {name: kept}


@pytest.mark.parametrize(
    ("name", "type_", "kept"),
    [
        ("whole", "string", "bigint"),
        ("whole", "decimal(18,0)", "bigint"),
        ("price", "decimal(18,7)", "decimal(18,6)"),
        ("price", "decimal(20,6)", "decimal(18,6)"),
        ("price", "bigint", "decimal(18,6)"),
        ("price", "double", "decimal(18,6)"),
        ("share", "decimal(18,6)", "double"),
        ("share", "date", "double"),
    ],
)
def test_what_may_not_fit_is_refused_with_the_column_and_both_types(
    silver: Table, name: str, type_: str, kept: str
) -> None:
    with pytest.raises(DatasetError) as refused:
        kept_types(silver, dataset(**{name: type_}))
    said = str(refused.value)
    assert f"column {name} is {kept} there and {type_} now" in said
    assert silver.path in said
    assert "Nothing was written" in said


def test_what_is_not_known_here_is_left_to_spark(silver: Table) -> None:
    assert kept_types(silver, dataset(tags="string", key2="array<string>")) == {}
