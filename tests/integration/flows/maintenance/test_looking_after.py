"""Maintenance on real Spark, Kafka and Prefect: what is deleted, what is kept, and what comes back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

from flows.lake.session import SparkConnection
from flows.maintenance_flow import maintenance_pipeline
from flows.medallion_etl_flow import medallion_etl_pipeline
from flows.upkeep.restore import restore
from tests.integration.flows.conftest import STOCKS_TABLES, LakeView
from tests.integration.flows.maintenance.conftest import (
    OLD,
    RECENT,
    Lab,
    events_below,
    file_count,
    report_of,
)


async def test_backed_up_purged_merged_vacuumed_audited_and_reported(lab: Lab, kafka_bootstrap: str) -> None:
    started = datetime.now(UTC)
    before, versions = lab.lake.content(), {table: lab.lake.version(table) for table in STOCKS_TABLES}
    files = file_count(lab.lake.root / "bronze/stocks")
    lab.keep_silver_since(date(2001, 1, 1))
    stale, fresh = lab.orphan("silver/stocks", days_old=10), lab.orphan("bronze/stocks", days_old=2)
    old, of_last_month = lab.old_report(days_old=400), lab.old_report(days_old=30)

    done = maintenance_pipeline()

    assert sorted(done["backups"]) == sorted(done["tables"]) == sorted(STOCKS_TABLES)
    for table in STOCKS_TABLES:  # what the backups hold is the lake before anything was deleted
        restored = lab.home / "restored" / table
        assert restore(Path(done["backups"][table]), restored).version == versions[table]
    assert LakeView(lab.home / "restored", lab.home).content() == before

    assert done["rows_purged"] == {"silver/stocks": OLD}
    assert len(lab.lake.rows("silver/stocks")) == RECENT
    assert {row["year"] for row in lab.lake.rows("silver/stocks")} == {2001, 2002}
    kept = {name: rows for name, rows in lab.lake.content().items() if name != "silver/stocks"}
    assert kept == {name: rows for name, rows in before.items() if name != "silver/stocks"}
    assert (files, file_count(lab.lake.root / "bronze/stocks"), done["files_merged"]["bronze/stocks"]) == (2, 1, 2)
    assert (stale.exists(), fresh.exists()) == (False, True)
    assert done["files_vacuumed"] == {"silver/stocks": 1}
    operations = [entry["operation"] for entry in DeltaTable(str(lab.lake.root / "silver/stocks")).history()]
    assert operations.index("VACUUM END") < operations.index("DELETE")  # the newest first
    assert done["audits_failed"] == []
    assert list((lab.lake.root / "_work" / "restore-check").rglob("*.parquet")) == []

    assert (old.exists(), of_last_month.exists(), done["reports_deleted"]) == (False, True, 1)
    page = report_of(done)
    assert all(words in page for words in (*STOCKS_TABLES, "year=2000", "prices_positive", "verified", "rows purged"))
    assert Path(done["report"]).parent == lab.home / "reports" / "maintenance"
    assert len(await artifacts_with("maintenance-report", Path(done["report"]).as_uri())) == 1
    await events_are_complete(kafka_bootstrap, lab, started)


def test_the_next_run_finds_nothing_more_to_do_and_tells_the_growth(lab: Lab) -> None:
    lab.keep_silver_since(date(2001, 1, 1))
    assert maintenance_pipeline(tables=["silver/stocks"])["rows_purged"] == {"silver/stocks": OLD}
    again = maintenance_pipeline(tables=["silver/stocks"], keep_backups=1)
    assert (again["rows_purged"], again["files_vacuumed"]) == ({}, {})
    assert [str(path) for path in lab.backups("silver/stocks")] == [again["backups"]["silver/stocks"]]
    assert "+0" in report_of(again)


async def test_a_dry_run_says_what_would_go_and_changes_nothing(lab: Lab, kafka_bootstrap: str) -> None:
    lab.keep_silver_since(date(2001, 1, 1))
    lab.orphan("silver/stocks", days_old=10)
    old = lab.old_report(days_old=400)
    before, started = lab.files(), datetime.now(UTC)
    done = maintenance_pipeline(dry_run=True)
    assert done["rows_to_purge"] == {"silver/stocks": OLD}
    assert (done["rows_purged"], done["backups"], done["files_vacuumed"]) == ({}, {}, {})
    page = report_of(done)
    assert all(words in page for words in ("dry run: nothing was changed", "year=2000", "would be made"))
    assert lab.files() == before
    assert old.exists()
    assert "Old reports and lineage, one file of 6 B, would go." in page
    assert await events_below(kafka_bootstrap, lab.lake.root, started) == []


def test_other_datasets_are_backed_up_only_before_something_is_deleted(lab: Lab) -> None:
    lab.define(critical=False)
    assert maintenance_pipeline(tables=["stocks"])["backups"] == {}
    orphan = lab.orphan("quarantine/stocks", days_old=10)
    done = maintenance_pipeline(tables=["stocks"])
    assert list(done["backups"]) == ["quarantine/stocks"]
    assert not orphan.exists()


def test_a_destroyed_dataset_comes_back_for_spark_and_the_etl_goes_on(
    lab: Lab, spark_remote: str, few_stocks: Callable[..., str]
) -> None:
    done, before = maintenance_pipeline(), lab.lake.content()
    medallion_etl_pipeline(str(lab.lake.put("next.csv", few_stocks(900, 30))), min_rows_threshold=1)
    shutil.rmtree(lab.lake.root / "silver")
    for table in STOCKS_TABLES:
        restore(Path(done["backups"][table]), lab.lake.root / table, replace=True)
    assert {table: lab.lake.content()[table] for table in STOCKS_TABLES} == before
    connection = SparkConnection(remote=spark_remote, master=None, wait_s=30, say=print)
    with connection.session() as spark:
        path = lab.lake.root / "silver/stocks"
        assert spark.sql(f"SELECT count(*) FROM delta.`{path}`").collect()[0][0] == OLD + RECENT
    connection.close()
    again = medallion_etl_pipeline(str(lab.lake.put("next.csv", few_stocks(900, 30))), min_rows_threshold=1)
    assert again["books"]["silver"] == 30
    assert len(lab.lake.rows("silver/stocks")) == OLD + RECENT + 30


async def artifacts_with(key: str, text: str) -> list[Any]:
    async with get_client() as client:
        # Not all that a session of tests has left: the server answers with some of them.
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        found = await client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC)
    return [artifact for artifact in found if text in str(artifact.data)]


async def events_are_complete(bootstrap: str, lab: Lab, started: datetime) -> None:
    events = await events_below(bootstrap, lab.lake.root, started)
    measured = {(e.data["of"], e.data["name"]): e.data["value"] for e in events if e.type == "lab.metric.sampled.v1"}
    assert measured["silver/stocks", "table.rows"] == RECENT
    assert measured["bronze/stocks", "table.files"] == 1
    assert measured["silver/stocks", "audit.rows_failed"] == 0
    assert {table for table, name in measured if name == "backup.size_bytes"} == set(STOCKS_TABLES)
    names = {"rows", "files", "size_bytes", "versions", "small_files", "age_seconds"}
    assert {name.removeprefix("table.") for table, name in measured if table == STOCKS_TABLES[0]} >= names
    quality = [(e.type, Path(e.data["table"]).parent.name) for e in events if "quality" in e.type]
    assert sorted(quality) == [("lab.quality.passed.v1", "gold"), ("lab.quality.passed.v1", "silver")]
    assert len({event.id for event in events}) == len(events)
