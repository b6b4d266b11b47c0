"""Rules over a whole file: each holds, or warns, or refuses the file, with what it found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from flows.lake.datasets import Dataset
from flows.lake.errors import DatasetError
from flows.lake.session import SparkConnection
from flows.lake.table_rules import broken_references, table_checks, usual_rows
from flows.lake.tables import Lake, Table
from tests.integration.flows.conftest import LakeView

NOW = datetime.now(UTC)


def dataset(*rules: dict[str, object]) -> Dataset:
    columns = {"symbol": {"required": True}, "day": {"type": "date"}}
    return Dataset.model_validate(
        {
            "name": "prices",
            "columns": columns,
            "keys": ["symbol"],
            "table_rules": [{"severity": "fail", **r} for r in rules],
        }
    )


@pytest.fixture
def connection(spark_remote: str) -> SparkConnection:
    return SparkConnection(remote=spark_remote, master=None, wait_s=60, say=print)


Holds = Callable[..., dict[str, bool]]


@pytest.fixture
def holds(connection: SparkConnection) -> Holds:
    """Which rules hold over these rows."""

    def evaluate(wanted: Dataset, rows: list[tuple[str | None, object]], usual: float | None = None) -> dict[str, bool]:
        with connection.session(0) as spark:
            frame = spark.createDataFrame(rows, "symbol STRING, day DATE")
            checks = table_checks(wanted, 2, usual)
            found = frame.selectExpr(*(f"({check.sql}) AS {check.name}" for check in checks)).collect()[0]
            return dict(found.asDict())

    return evaluate


def test_unique_fresh_volume_and_expressions(holds: Holds) -> None:
    wanted = dataset(
        {"name": "enough", "expression": "count(*) >= {min_rows_threshold}"},
        {"name": "one_each", "unique": ["symbol", "day"]},
        {"name": "recent", "fresh": {"column": "day", "within_days": 7}},
        {"name": "as_usual", "volume": {"at_least": 0.5, "at_most": 2}},
    )
    today, long_ago = NOW.date(), NOW.date() - timedelta(days=30)
    good = holds(wanted, [("A", today), ("A", long_ago), (None, today), (None, today)], usual=4)
    assert good == {"enough": True, "one_each": True, "recent": True, "as_usual": True}
    bad = holds(wanted, [("A", long_ago), ("A", long_ago)] * 10, usual=4)
    assert bad == {"enough": True, "one_each": False, "recent": False, "as_usual": False}
    assert holds(wanted, [("A", today)] * 20)["as_usual"] is True  # nothing is usual yet
    said = {check.name: check.expression for check in table_checks(wanted, 2, 4)}
    assert said["as_usual"] == "rows are 0.5 to 2 times as many as usual (4)"
    assert said["one_each"] == "unique (symbol, day)"


def test_the_usual_volume_is_the_median_of_the_last_files(connection: SparkConnection, lake: LakeView) -> None:
    wanted = dataset({"name": "as_usual", "volume": {"of_last": 3}})
    ledger = Table(str(lake.root / "ledger" / "prices"))
    with connection.session(0) as spark:
        assert usual_rows(spark, ledger, wanted, but="x") is None
        for number, rows in enumerate((9000, 10, 20, 60)):
            line = {
                "ingest_id": [str(number)],
                "outcome": ["complete"],
                "rows_in": [rows],
                "finished_at": pa.array([NOW + timedelta(minutes=number)], pa.timestamp("us", "UTC")),
            }
            write_deltalake(ledger.path, pa.table(line), mode="append")
        assert usual_rows(spark, ledger, wanted, but="x") == 20
        assert usual_rows(spark, ledger, wanted, but="3") == 20  # itself does not count
        assert usual_rows(spark, ledger, dataset(), but="x") is None


def test_references_count_the_rows_that_name_what_is_not_there(connection: SparkConnection, lake: LakeView) -> None:
    rule = {"name": "known", "references": {"columns": {"symbol": "ticker"}, "table": "silver/companies"}}
    wanted, place = dataset(rule), Lake(str(lake.root), lake.root.parent)
    with connection.session(0) as spark:
        rows = spark.createDataFrame([("A", None), ("B", None), ("B", None), (None, None)], "symbol STRING, day DATE")
        with pytest.raises(DatasetError, match="rule 'known' refers to silver/companies, which is not in the lake"):
            broken_references(wanted, place, rows)
        write_deltalake(str(lake.root / "silver" / "companies"), pa.table({"ticker": ["A", "C"]}))
        [found] = broken_references(wanted, place, rows)
    assert (found.failed_rows, found.severity, found.expression) == (2, "fail", "symbol in silver/companies")
