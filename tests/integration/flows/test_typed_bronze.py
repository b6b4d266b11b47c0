"""Bronze in types: nothing that a file says is lost; tables of text and changed definitions come to the same rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import yaml
from deltalake import DeltaTable, write_deltalake

from datalab.runtime.settings import PROJECT_ROOT
from flows.config import FlowSettings
from flows.lake import duplicates, quarantine, verdicts
from flows.lake.bronze import Origin, append_file
from flows.lake.datasets import Dataset, load_datasets
from flows.lake.errors import DatasetError
from flows.lake.expressions import row_checks
from flows.lake.judging import judge
from flows.lake.loading import stage
from flows.lake.quality import measure
from flows.lake.records import of_ingestion
from flows.lake.session import SparkConnection
from flows.lake.tables import Table
from flows.medallion_etl_flow import medallion_etl_pipeline
from flows.quarantine_replay_flow import quarantine_replay
from tests.integration.flows.conftest import LakeView

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HEADER = "symbol,date,open,high,low,close,volume,adj_close,note"
ODD = """
aapl,2024-01-02,1.5,2,0.5,1.50,100,,plain
AAPL,2024-01-03,1.1234567,2,0.5,1.5,100,,more decimals than the type has
AAPL,2024-1-4,1.5,2,0.5,1.5,007,,another spelling
AAPL,2024-01-05 10:30:00,1.5,2,0.5,1.5,+5,1e-3,a time behind the date
AAPL,2024-01-06,n/a,2,0.5,1.5,100,,no number
AAPL,2024-01-07,-1,2,0.5,1.5,100,,breaks a rule
AAPL,2024-01-08,1,2,0.5,1.9,,,no volume
AAPL,2024-01-08,1,2,0.5,1.8,7,,the same key again
Aapl ,2024-01-08,1,2,0.5,1.7,8,,the same key in another spelling
"""


@pytest.fixture
def definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change a column of `stocks`."""
    folder = tmp_path / "config"
    shutil.copytree(PROJECT_ROOT / "config", folder)
    monkeypatch.setenv("DATALAB_CONFIG_DIR", str(folder))
    file = folder / "datasets.yaml"

    def change(column: str, **fields: str) -> None:
        datasets = yaml.safe_load(file.read_text("utf-8"))
        datasets["stocks"]["columns"][column] |= fields
        file.write_text(yaml.safe_dump(datasets, allow_unicode=True), "utf-8")

    return change


def load(lake: LakeView, name: str, content: str) -> dict[str, Any]:
    return medallion_etl_pipeline(str(lake.put(name, content)), min_rows_threshold=1)


def by_note(lake: LakeView, table: str) -> dict[str, dict[str, Any]]:
    return {row["note"]: row for row in lake.rows(table)}


def results(lake: LakeView) -> dict[str, list[str]]:
    """What the lake came to, apart from Bronze, where the two differ."""
    return {table: rows for table, rows in lake.content().items() if not table.startswith("bronze/")}


def as_text(lake: LakeView) -> None:
    """Bronze as it was before it had types: an empty table whose columns are text, without the record as it came."""
    rows = DeltaTable(str(lake.root / "bronze" / "stocks")).to_pyarrow_table().slice(0, 0)
    rows = rows.drop_columns(["_raw_record"])
    own = [f for f in rows.schema if f.name.startswith("_") or f.name == "data_ingestao"]
    fields = [f if f in own else pa.field(f.name, pa.string()) for f in rows.schema]
    for table in lake.root.iterdir():
        shutil.rmtree(table)
    write_deltalake(str(lake.root / "bronze" / "stocks"), pa.schema(fields).empty_table())


def test_what_a_type_does_not_hold_is_kept_as_it_came_and_a_table_of_text_comes_to_the_same(lake: LakeView) -> None:
    first = load(lake, "odd.csv", HEADER + ODD)
    assert first["books"] == {"rows_in": 9, "silver": 5, "quarantined": 2, "dropped": 0, "duplicates": 2}
    bronze = by_note(lake, "bronze/stocks")
    kept = {note: json.loads(row["_raw_record"]) for note, row in bronze.items() if row["_raw_record"]}
    assert {note: (record["open"], record["date"], record["volume"]) for note, record in kept.items()} == {
        "more decimals than the type has": ("1.1234567", "2024-01-03", "100"),
        "another spelling": ("1.5", "2024-1-4", "007"),
        "a time behind the date": ("1.5", "2024-01-05 10:30:00", "+5"),
        "no number": ("n/a", "2024-01-06", "100"),
        "breaks a rule": ("-1", "2024-01-07", "100"),
    }
    assert bronze["no number"]["open"] is None
    typed = results(lake)

    as_text(lake)
    assert load(lake, "odd.csv", HEADER + ODD)["books"] == first["books"]
    assert {type(row["close"]) for row in lake.rows("bronze/stocks")} == {str}
    assert results(lake) == typed


def test_a_type_that_changes_later_loses_no_value_and_judges_old_records_anew(
    lake: LakeView, definitions: Callable[..., None]
) -> None:
    before = HEADER + "\nIBM,2024-01-02,12,13,11,12.5,1,7.50,whole\nIBM,2024-01-03,12,13,-1,12.5,1,7.50,held\n"
    load(lake, "before.csv", before)
    definitions("adj_close", type="string")
    definitions("open", type="bigint")
    dataset, table = stocks(), Table(str(lake.root / "bronze" / "stocks"))
    path = lake.put("after.csv", HEADER + "\nIBM,2024-01-04,12,13,11,12.5,1,a few,text now\n")
    with a_session() as spark:
        append_file(spark, table, dataset, stage(path, lake.root / "_work" / "staging", dataset), Origin())
        judged = judge(dataset, table.read(spark), with_rules=True, judged=False)
        rows = judged.selectExpr("_read_note AS note", "open", "adj_close", "_broken").collect()
    found = {row["note"]: row for row in rows}
    late = by_note(lake, "bronze/stocks")["text now"]
    assert (late["open"], late["adj_close"], json.loads(late["_raw_record"])["adj_close"]) == (12, None, "a few")
    # A type keeps the number; its spelling (7.50) only where the record was kept whole, as it broke a check.
    assert {note: (row["open"], row["adj_close"]) for note, row in found.items()} == {
        "whole": (12, "7.5"), "held": (12, "7.50"), "text now": (12, "a few"),
    }  # fmt: skip
    assert found["whole"]["_broken"] is None
    assert "prices_positive" in found["held"]["_broken"]


def test_silver_takes_a_type_that_fits_and_refuses_another_before_anything_is_written(
    lake: LakeView, definitions: Callable[..., None]
) -> None:
    load(lake, "before.csv", HEADER + "\nIBM,2024-01-02,12,13,11,12.5,5000000000,,first\n")
    definitions("volume", type="int")
    definitions("open", type="decimal(8,2)")
    load(lake, "fits.csv", HEADER + "\nIBM,2024-01-03,12.25,13,11,12.5,8,,appended\n")
    load(lake, "again.csv", HEADER + "\nIBM,2024-01-03,12.75,13,11,12.5,9,,merged\n")
    silver = DeltaTable(str(lake.root / "silver" / "stocks")).to_pyarrow_dataset().schema
    assert (silver.field("volume").type, silver.field("open").type) == (pa.int64(), pa.decimal128(18, 6))
    rows = {str(row["date"]): (str(row["open"]), row["volume"]) for row in lake.rows("silver/stocks")}
    assert rows == {"2024-01-02": ("12.000000", 5_000_000_000), "2024-01-03": ("12.750000", 9)}
    definitions("open", type="string")
    content = lake.content()
    with pytest.raises(DatasetError, match=r"column open is decimal\(18,6\) there and string now.*Nothing was written"):
        load(lake, "other.csv", HEADER + "\nIBM,2024-01-04,twelve,13,11,12.5,8,,refused\n")
    assert lake.content() == content


def test_the_gate_finds_the_same_with_and_without_spark(lake: LakeView, few_stocks: Callable[..., str]) -> None:
    rows = few_stocks(0, 300).splitlines()
    content = "\n".join([HEADER.removesuffix(",note"), *rows[1:], *rows[5:9], *(rows[7].lower(), "IBM,,1,1,1,1,1,1")])
    done = load(lake, "many.csv", content)
    dataset = stocks()
    table = Table(str(lake.root / "bronze" / "stocks"))
    records = of_ingestion(table, done["ingest_id"])
    assert records is not None
    with a_session() as spark:
        judged = judge(dataset, table.read(spark), with_rules=True, judged=True)
        by_spark = measure(dataset, judged, with_rules=True)
        here = measure(dataset, judged, with_rules=True, records=records)
        held = quarantine.put(
            spark, Table(str(lake.root / "quarantine" / "by_spark")), dataset, judged, done["ingest_id"], here.gate
        )
    assert lake.rows("quarantine/by_spark") == lake.rows("quarantine/stocks")
    assert held == here.gate.quarantined == 1
    assert here.gate == by_spark.gate
    assert here.gate.duplicates == 5
    assert here.key_ranges == by_spark.key_ranges
    assert sorted(here.superseded.to_pylist(), key=str) == sorted(by_spark.superseded.to_pylist(), key=str)
    # `aapl` and `AAPL` are one key, which only the typed values tell.
    checks = row_checks(dataset, with_rules=True)
    hashes = verdicts.tally(records, dataset, checks).hashes
    assert hashes is not None
    assert duplicates.by_kept_keys(records, dataset, checks, duplicates.repeated(hashes)) is None


def test_rows_of_new_days_are_appended_and_corrections_merged(lake: LakeView, few_stocks: Callable[..., str]) -> None:
    load(lake, "first.csv", few_stocks(0, 40))
    load(lake, "next.csv", few_stocks(40, 20))
    assert operations(lake) == ["WRITE", "WRITE"]
    load(lake, "again.csv", few_stocks(30, 40))
    assert operations(lake) == ["WRITE", "WRITE", "MERGE"]
    apart, merged = results(lake), prices(lake)
    assert len(merged) == 70
    for table in lake.root.iterdir():
        shutil.rmtree(table)
    load(lake, "whole.csv", few_stocks(0, 70))
    assert results(lake)["gold/stocks_monthly"] == apart["gold/stocks_monthly"]
    assert prices(lake) == merged


def test_a_replay_reads_what_bronze_keeps(lake: LakeView, definitions: Callable[..., None]) -> None:
    load(lake, "comma.csv", HEADER + '\nIBM,2024-01-02,"1,5",2,0.5,1.5,007,,comma\nIBM,2024-01-03,1,2,0.5,1,5,,good\n')
    definitions("open", expression="try_cast(replace({text}, ',', '.') AS decimal(18,6))")
    assert quarantine_replay("stocks")["merged"] == 1
    silver = {str(row["date"]): row for row in lake.rows("silver/stocks")}
    assert (str(silver["2024-01-02"]["open"]), silver["2024-01-02"]["volume"]) == ("1.500000", 7)


def prices(lake: LakeView) -> list[str]:
    """Silver, apart from which file and run a row came by."""
    own = {"_ingest_id", "_row_number", "_ingested_at", "data_processamento"}
    return sorted(repr({k: row[k] for k in sorted(row) if k not in own}) for row in lake.rows("silver/stocks"))


def stocks() -> Dataset:
    return load_datasets(FlowSettings().datasets_file)["stocks"]


def operations(lake: LakeView) -> list[str]:
    history = DeltaTable(str(lake.root / "silver" / "stocks")).history()
    return [str(commit["operation"]) for commit in reversed(history)]


def a_session() -> AbstractContextManager[SparkSession]:
    return SparkConnection(remote=FlowSettings().spark_remote, master=None, wait_s=60, say=print).session(0)
