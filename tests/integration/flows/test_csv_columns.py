"""A CSV file that is staged as columns comes to the same Bronze as one that Spark reads itself, record by record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable

from flows.config import FlowSettings
from flows.lake import bronze_columns, csv_columns
from flows.lake.bronze import Appended, Origin, append_file
from flows.lake.datasets import Dataset
from flows.lake.loading import stage
from flows.lake.session import SparkConnection
from flows.lake.staging import stage_csv
from flows.lake.tables import Table
from tests.integration.flows.conftest import LakeView

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TYPES = {
    "price": "decimal(18,6)", "large": "decimal(38,10)", "amount": "bigint", "number": "int", "few": "smallint",
    "tiny": "tinyint", "share": "double", "rough": "float", "day": "date", "at": "timestamp", "flag": "boolean",
}  # fmt: skip
# What such a file may say, in any of its columns.
TEXTS = """
1|0|-1|1.5|-0.25|.5|5.|007|00.5|-0|-07|+1|+1.5|1e3|1E3|15e-1|1e-7|1.1234567|0.1234567890123456789|123456789012
99999999999999999999|-9223372036854775808|9223372036854775808|32768|-128|128|2147483648|3.40282347e38|1e400
0x1F|1_000|1,000|1/2|1-2|--1|-|.|+|e|1f|1d|1L|NaN|nan|Infinity|-inf|null|NULL|n/a|true|TRUE|False|t|yes|0.1
2024-01-02|2024-1-2|2024-02-29|2023-02-29|0001-01-01|1500-02-29|9999-12-31|0000-01-01|20240102|2024-01|2024
2024-01-02 10:30:00|2024-01-02T10:30:00.1234567Z|10:30|today|02/01/2024|+2024-01-02| 1|1 | 2024-01-02 |  |١٢|ação
$1|${env:HOME}|\\1|'1'|#1|a\\nb|\u2028|\u00a01|123456789012345|1234567890123456|12345.678901|1.123456|000000
""".replace("\n", "|").strip("|").split("|")  # fmt: skip


def dataset() -> Dataset:
    columns: dict[str, Any] = {name: {"type": type_} for name, type_ in TYPES.items()}
    columns |= {"key": {"required": True, "normalise": "upper"}, "absent": {"type": "int", "optional": True}}
    columns["amount"]["required"] = True
    rules = [{"name": "positive", "severity": "quarantine", "expression": "price > 0 AND share > 0"}]
    return Dataset.model_validate(
        {"name": "odd", "columns": columns, "source": {"options": {"sep": ";"}}, "keys": ["key"], "rules": rules}
    )


def odd_rows() -> Iterator[list[str]]:
    """Each text in all the typed columns, and in one of them beside plain ones."""
    plain = dict(zip(TYPES, ["1.5", "2", "3", "4", "5", "6", "7.5", "8", "2024-01-02", "", "true"], strict=True))
    yield list(plain.values())
    for number, text in enumerate(TEXTS):
        yield [text] * len(TYPES)
        yield list({**plain, list(TYPES)[number % len(TYPES)]: text}.values())


def content(rows: Iterator[list[str]]) -> str:
    lines = (";".join([f"k{number}", *row, f" {number} "]) for number, row in enumerate(rows))
    return "\n".join([";".join(["key", *TYPES, "more"]), *lines]) + "\n"


@pytest.fixture
def spark(lake: LakeView) -> Iterator[SparkSession]:
    connection = SparkConnection(remote=FlowSettings().spark_remote, master=None, wait_s=60, say=print)
    with connection.session() as session:
        yield session
    connection.close()


def appended(spark: SparkSession, lake: LakeView, path: Path, table: str, *, as_columns: bool) -> Appended:
    into = lake.root / "_work" / table
    file = stage(path, into, dataset()) if as_columns else stage_csv(path, into, ";")
    assert file.layout == ("columns" if as_columns else "csv")
    return append_file(spark, bronze(lake, table), dataset(), file, Origin("run", "event"))


def bronze(lake: LakeView, table: str) -> Table:
    return Table(str(lake.root / "bronze" / table))


def records(spark: SparkSession, lake: LakeView, table: str) -> list[str]:
    """All of the records, apart from when they were written and how Spark numbers them. Read by Spark: Python knows
    neither the year 0 nor the year 10000."""
    rows = bronze(lake, table).read(spark).drop("data_ingestao", "_row_number")
    return sorted(row[0] for row in rows.selectExpr(f"to_json(struct({', '.join(sorted(rows.columns))}))").collect())


def schema(lake: LakeView, table: str) -> dict[str, str]:
    return {field.name: str(field.type) for field in DeltaTable(bronze(lake, table).path).schema().fields}


def test_odd_texts_are_kept_and_judged_alike(lake: LakeView, spark: SparkSession) -> None:
    path = lake.put("odd.csv", content(odd_rows()))
    appended(spark, lake, path, "by_columns", as_columns=True)
    appended(spark, lake, path, "by_spark", as_columns=False)
    assert records(spark, lake, "by_columns") == records(spark, lake, "by_spark")
    assert len(records(spark, lake, "by_columns")) == 1 + 2 * len(TEXTS)
    assert schema(lake, "by_columns") == schema(lake, "by_spark")
    # They are put down side by side: whichever comes first, the other adds to its table.
    path = lake.put("more.csv", content(iter([["1.5", "2", "3", "4", "5", "6", "7.5", "8", "2024-01-02", "", "true"]])))
    appended(spark, lake, path, "by_columns", as_columns=False)
    appended(spark, lake, path, "by_spark", as_columns=True)
    assert records(spark, lake, "by_columns") == records(spark, lake, "by_spark")


def test_all_plain_in_many_blocks(lake: LakeView, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_columns, "_BLOCK", 10_000)
    rows = (
        [f"{n}.25", str(n), str(n), str(n), str(n % 100), str(n % 50), f"{n}.5", "", f"2024-01-{n % 28 + 1:02}", "", ""]
        for n in range(1, 5001)
    )
    path = lake.put("plain.csv", content(rows))
    appended(spark, lake, path, "by_columns", as_columns=True)
    appended(spark, lake, path, "by_spark", as_columns=False)
    assert records(spark, lake, "by_columns") == records(spark, lake, "by_spark")
    numbers = {row["key"]: row["_row_number"] for row in lake.rows("bronze/by_columns")}
    assert numbers == {f"k{n}": n + 1 for n in range(5000)}


def test_again_adds_nothing_by_either_way(lake: LakeView, spark: SparkSession) -> None:
    path = lake.put("odd.csv", content(odd_rows()))
    first = appended(spark, lake, path, "odd", as_columns=True)
    assert appended(spark, lake, path, "odd", as_columns=True) == first
    assert appended(spark, lake, path, "odd", as_columns=False) == first


def test_what_ended_before_its_commit_left_nothing_and_is_done_again(
    lake: LakeView, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lake.put("odd.csv", content(odd_rows()))
    with monkeypatch.context() as patch:
        patch.setattr(bronze_columns, "joined", ended)
        # As after kill -9, what Spark found out stays.
        patch.setattr(bronze_columns.shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(InterruptedError):
            appended(spark, lake, path, "odd", as_columns=True)
    left = list((lake.root / "_work" / "odd").glob("*.judged"))
    assert len(left) == 1
    assert not lake.has("bronze/odd")
    appended(spark, lake, path, "odd", as_columns=True)
    assert len(records(spark, lake, "odd")) == 1 + 2 * len(TEXTS)
    assert not left[0].exists()


def ended(*_: object) -> Iterator[object]:
    raise InterruptedError


def test_a_table_that_asks_more_of_its_writers_is_sparks(lake: LakeView, spark: SparkSession) -> None:
    path = lake.put("odd.csv", content(odd_rows()))
    appended(spark, lake, path, "fed", as_columns=True)
    table = bronze(lake, "fed")
    spark.sql(f"ALTER TABLE {table.sql} SET TBLPROPERTIES (delta.enableChangeDataFeed = true)").collect()
    appended(spark, lake, lake.put("next.csv", content(odd_rows())), "fed", as_columns=True)
    last = DeltaTable(table.path).history(1)[0]
    assert "Spark" in str(last["engineInfo"])
    assert len(records(spark, lake, "fed")) == 2 * (1 + 2 * len(TEXTS))
