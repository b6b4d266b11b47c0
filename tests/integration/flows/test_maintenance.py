"""Maintenance on real Spark, Kafka and Prefect: what is deleted, what is kept, and what comes back."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from deltalake import DeltaTable, write_deltalake
from prefect import Task
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from datalab.bus.reader import read_events
from datalab.runtime.settings import PROJECT_ROOT
from flows.lake.locks import dataset_lock
from flows.lake.session import SparkConnection
from flows.maintenance_flow import maintenance_pipeline
from flows.medallion_etl_flow import medallion_etl_pipeline
from flows.upkeep import backup as backups
from flows.upkeep import tasks
from flows.upkeep.errors import MaintenanceError, UpkeepError
from flows.upkeep.restore import restore
from schemas.envelope import Event
from tests.integration.flows.conftest import STOCKS_TABLES, LakeView

OLD, RECENT = 60, 120  # rows of the year 2000, and of later years
NEGATIVE = "AAPL,2002-05-01,-1,2,1,1.5,100\n"


@pytest.fixture(scope="module")
def prepared(
    tmp_path_factory: pytest.TempPathFactory,
    spark_remote: str,
    kafka_bootstrap: str,
    prefect_api_url: str,
    few_stocks: Callable[..., str],
) -> Iterator[Path]:
    """A lake that the ETL has loaded with two files; the tests get copies of it."""
    home = tmp_path_factory.mktemp("prepared") / "lab"
    landing = home / "landing" / "stocks"
    landing.mkdir(parents=True)
    (landing / "old.csv").write_text(few_stocks(0, OLD) + NEGATIVE)
    (landing / "recent.csv").write_text(few_stocks(400, RECENT))
    with pytest.MonkeyPatch.context() as environment, temporary_settings({PREFECT_API_URL: prefect_api_url}):
        for name in ("LAKE_ROOT", "LANDING_DIR", "SPARK_MASTER_URL", "DATALAB_CONFIG_DIR"):
            environment.delenv(name, raising=False)
        environment.setenv("DATALAB_HOME", str(home))
        environment.setenv("SPARK_REMOTE", spark_remote)
        environment.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
        assert medallion_etl_pipeline(str(landing), min_rows_threshold=1)["rows_in"] == OLD + RECENT + 1
        yield home


@dataclass(frozen=True)
class Lab:
    """A lake with tables, and its datasets."""

    lake: LakeView
    home: Path
    config: Path

    def define(self, **stocks: Any) -> None:
        """Change the definition of `stocks`."""
        file = self.config / "datasets.yaml"
        datasets = yaml.safe_load(file.read_text("utf-8"))
        datasets["stocks"] |= stocks
        file.write_text(yaml.safe_dump(datasets, allow_unicode=True), "utf-8")

    def keep_silver_since(self, day: date) -> None:
        days = (datetime.now(UTC).date() - day).days
        self.define(retention={"silver": {"date": "date", "keep_days": days}})

    def backups(self, table: str) -> list[Path]:
        return sorted((self.home / "backups" / table).glob("2*"))

    def orphan(self, table: str, *, days_old: int) -> Path:
        """A data file that no version knows, as a killed write leaves it."""
        path = self.lake.root / table / "part-00000-orphan.c000.snappy.parquet"
        path.write_bytes(b"x" * 2000)
        then = (datetime.now(UTC) - timedelta(days=days_old)).timestamp()
        os.utime(path, (then, then))
        return path

    def files(self) -> dict[str, str]:
        """Every file below the lab but reports and locks, by its hash."""
        skipped = {"reports", "locks"}
        return {
            str(path.relative_to(self.home)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.home.rglob("*"))
            if path.is_file() and not skipped & set(path.parts)
        }


@pytest.fixture
def lab(prepared: Path, lake: LakeView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    shutil.copytree(prepared / "lake", lake.root)
    config = tmp_path / "config"
    config.mkdir()
    shutil.copy(PROJECT_ROOT / "config" / "datasets.yaml", config)
    monkeypatch.setenv("DATALAB_CONFIG_DIR", str(config))
    monkeypatch.delenv("DATALAB_BACKUP_DIR", raising=False)
    _retry_quickly(monkeypatch)
    return Lab(lake, lake.root.parent, config)


def _retry_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for step in vars(tasks).values():
        if isinstance(step, Task):
            monkeypatch.setattr(step, "retries", 1)
            monkeypatch.setattr(step, "retry_delay_seconds", 0.1)


async def events_below(bootstrap: str, root: Path, since: datetime) -> list[Event]:
    """The events of maintenance since then: the tests share the topics."""
    found = read_events(bootstrap, ["lab.quality", "lab.metrics"])
    wanted = [event async for _, event in found if event.source == "/flows/maintenance" and event.time >= since]
    return [e for e in wanted if e.type.startswith("lab.metric") or str(e.data["table"]).startswith(str(root))]


def report_of(done: dict[str, Any]) -> str:
    return Path(done["report"]).read_text("utf-8")


def file_count(path: Path) -> int:
    return len(DeltaTable(str(path)).file_uris())


@pytest.mark.timeout(400)  # the parts of the lab start in it
async def test_backed_up_purged_merged_vacuumed_audited_and_reported(lab: Lab, kafka_bootstrap: str) -> None:
    started = datetime.now(UTC)
    before, versions = lab.lake.content(), {table: lab.lake.version(table) for table in STOCKS_TABLES}
    files = file_count(lab.lake.root / "bronze/stocks")
    lab.keep_silver_since(date(2001, 1, 1))
    stale, fresh = lab.orphan("silver/stocks", days_old=10), lab.orphan("bronze/stocks", days_old=2)

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

    page = report_of(done)
    assert all(words in page for words in (*STOCKS_TABLES, "year=2000", "prices_positive", "verified", "rows purged"))
    assert Path(done["report"]).parent == lab.home / "reports" / "maintenance"
    [link] = await artifacts_with(str(Path(done["report"]).as_uri()))
    assert link.key == "maintenance-report"
    await events_are_complete(kafka_bootstrap, lab, started)


def test_the_next_run_finds_nothing_more_to_do_and_tells_the_growth(lab: Lab) -> None:
    lab.keep_silver_since(date(2001, 1, 1))
    assert maintenance_pipeline(tables=["silver/stocks"])["rows_purged"] == {"silver/stocks": OLD}
    again = maintenance_pipeline(tables=["silver/stocks"], keep_backups=1)
    assert (again["rows_purged"], again["files_vacuumed"]) == ({}, {})
    assert [str(path) for path in lab.backups("silver/stocks")] == [again["backups"]["silver/stocks"]]
    assert "+0" in report_of(again)


async def artifacts_with(text: str) -> list[Any]:
    async with get_client() as client:
        return [artifact for artifact in await client.read_artifacts() if text in str(artifact.data)]


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


async def test_a_dry_run_says_what_would_go_and_changes_nothing(lab: Lab, kafka_bootstrap: str) -> None:
    lab.keep_silver_since(date(2001, 1, 1))
    lab.orphan("silver/stocks", days_old=10)
    before, started = lab.files(), datetime.now(UTC)
    done = maintenance_pipeline(dry_run=True)
    assert done["rows_to_purge"] == {"silver/stocks": OLD}
    assert (done["rows_purged"], done["backups"], done["files_vacuumed"]) == ({}, {}, {})
    page = report_of(done)
    assert all(words in page for words in ("dry run: nothing was changed", "year=2000", "would be made"))
    assert lab.files() == before
    assert await events_below(kafka_bootstrap, lab.lake.root, started) == []


def test_too_large_a_purge_is_refused_with_the_numbers_until_it_is_forced(lab: Lab) -> None:
    lab.keep_silver_since(date(2002, 1, 1))
    before = lab.lake.content()
    share = sum(str(row["date"]) < "2002" for row in lab.lake.rows("silver/stocks"))
    assert OLD < share < OLD + RECENT
    with pytest.raises(MaintenanceError, match=rf"silver/stocks: .* delete {share} of 180 rows .*=50%; nothing"):
        maintenance_pipeline(tables=["silver/stocks"])
    assert lab.lake.content() == before
    forced = maintenance_pipeline(tables=["silver/stocks"], force_purge=True)
    assert forced["rows_purged"] == {"silver/stocks": share}
    assert (forced["tables"], len(lab.backups("silver/stocks"))) == (["silver/stocks"], 2)


def test_a_purge_that_would_cut_groups_of_gold_is_refused(lab: Lab) -> None:
    lab.keep_silver_since(date(2001, 1, 1))
    by_symbol = {"group_by": {"symbol": "symbol"}, "aggregates": {"days": "count(*)"}}
    lab.define(gold={"stocks_by_symbol": by_symbol}, charts=[])
    with pytest.raises(MaintenanceError, match="part of the rows of 1 groups of gold/stocks_by_symbol"):
        maintenance_pipeline(tables=["silver/stocks"])
    assert len(lab.lake.rows("silver/stocks")) == OLD + RECENT


def test_a_backup_that_does_not_verify_keeps_its_table_from_any_change_and_the_others_go_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.keep_silver_since(date(2001, 1, 1))
    orphan, version = lab.orphan("silver/stocks", days_old=10), lab.lake.version("silver/stocks")
    copy = backups.copy_snapshot

    def rotten_disk(table: Any, *args: Any, **kwargs: Any) -> Path:
        made = copy(table, *args, **kwargs)
        if table.full_name == "silver/stocks":
            file = next(made.rglob("*.parquet"))
            file.write_bytes(file.read_bytes()[::-1])
        return made

    monkeypatch.setattr(backups, "copy_snapshot", rotten_disk)
    with pytest.raises(MaintenanceError) as failed:
        maintenance_pipeline()
    assert "1 steps were not done: backup of silver/stocks: the backup could not be verified" in str(failed.value)
    assert "SHA-256" in str(failed.value)
    assert (lab.lake.version("silver/stocks"), orphan.exists()) == (version, True)
    assert len(lab.lake.rows("silver/stocks")) == OLD + RECENT
    assert file_count(lab.lake.root / "bronze/stocks") == 1  # merged: the other tables went on
    assert (len(lab.backups("bronze/stocks")), lab.home.joinpath("reports").is_dir()) == (1, True)


async def test_the_audit_finds_what_broke_the_rules_behind_the_gates_back(lab: Lab, kafka_bootstrap: str) -> None:
    started, silver = datetime.now(UTC), DeltaTable(str(lab.lake.root / "silver/stocks"))
    rows = silver.to_pyarrow_table().slice(0, 3)
    at = rows.schema.get_field_index("volume")
    broken = rows.set_column(at, rows.schema.field(at), [[-5] * 3])
    write_deltalake(silver, broken, mode="append")
    gold = lab.lake.root / "gold/stocks_monthly"
    DeltaTable(str(gold)).update(updates={"trading_days": "99"}, predicate="month = '2001-12-01'")

    done = maintenance_pipeline()

    assert sorted(done["audits_failed"]) == ["gold/stocks_monthly", "silver/stocks"]
    events = [e for e in await events_below(kafka_bootstrap, lab.lake.root, started) if "quality" in e.type]
    found = {Path(e.data["table"]).parent.name: e for e in events}
    assert {e.type for e in events} == {"lab.quality.failed.v1"}
    by_rule = {rule["name"]: rule["failed_rows"] for rule in found["silver"].data["rules"]}
    assert (by_rule["volume_not_negative"], by_rule["key_unique"], by_rule["prices_positive"]) == (3, 3, 0)
    assert found["silver"].data["rows_checked"] == OLD + RECENT + 3
    gold_rules = {rule["name"]: rule["failed_rows"] for rule in found["gold"].data["rules"]}
    assert gold_rules["group_current"] >= 1
    assert (gold_rules["group_missing"], gold_rules["group_unique"]) == (0, 0)
    page = report_of(done)
    assert "volume_not_negative" in page
    assert "AAPL" in page


def test_without_spark_the_backups_are_made_and_the_rest_is_said_plainly(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:1")
    monkeypatch.setenv("DATALAB_SPARK_WAIT_S", "0.5")
    before = lab.lake.content()
    with pytest.raises(MaintenanceError) as failed:
        maintenance_pipeline()
    assert str(failed.value).count("Spark Connect at 127.0.0.1:1 has not answered") == 1
    assert "optimise of bronze/stocks" in str(failed.value)
    assert [len(lab.backups(table)) for table in STOCKS_TABLES] == [1] * len(STOCKS_TABLES)
    assert lab.lake.content() == before


def test_a_dataset_that_a_run_writes_is_waited_for_and_left_alone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALAB_LOCK_WAIT_S", "0.5")
    before = lab.files()
    with (
        dataset_lock(lab.lake.root / "_work" / "locks", "stocks", wait_s=1, say=print),
        pytest.raises(MaintenanceError, match=r"lock of silver/stocks.*: dataset stocks: another run has held it"),
    ):
        maintenance_pipeline()
    changed = set(lab.files()) ^ set(before)
    assert changed == {"maintenance/usage.json"}


def test_other_datasets_are_backed_up_only_before_something_is_deleted(lab: Lab) -> None:
    lab.define(critical=False)
    assert maintenance_pipeline(tables=["stocks"])["backups"] == {}
    orphan = lab.orphan("quarantine/stocks", days_old=10)
    done = maintenance_pipeline(tables=["stocks"])
    assert list(done["backups"]) == ["quarantine/stocks"]
    assert not orphan.exists()


def test_kafka_down_fails_the_run_but_not_the_work(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    with pytest.raises(MaintenanceError, match=r"publish: ConnectionError: no Kafka broker answers at 127\.0\.0\.1:1"):
        maintenance_pipeline(tables=["ledger/stocks"])
    assert len(lab.backups("ledger/stocks")) == 1
    assert len(list((lab.home / "reports" / "maintenance").glob("*.html"))) == 1


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


def test_an_empty_lake_is_no_failure_and_wrong_parameters_are_plain(
    lake: LakeView, monkeypatch: pytest.MonkeyPatch
) -> None:
    _retry_quickly(monkeypatch)
    done = maintenance_pipeline()
    assert done["tables"] == []
    assert "There are no tables to look after yet" in report_of(done)
    wrong: dict[str, dict[str, Any]] = {
        "vacuum_hours=24: must be at least 168": {"vacuum_hours": 24},
        "keep_backups=0: must be at least 1": {"keep_backups": 0},
        "max_purge_share=50": {"max_purge_share": 50},
        "tables: unknown 'silver/none'; datasets: .*stocks.*none yet": {"tables": ["silver/none"]},
    }
    for message, parameters in wrong.items():
        with pytest.raises(UpkeepError, match=message):
            maintenance_pipeline(**parameters)
    monkeypatch.setenv("LAKE_ROOT", "hdfs://lake")
    with pytest.raises(UpkeepError, match=r"LAKE_ROOT=hdfs://lake: .*local disk and in S3 stores only"):
        maintenance_pipeline()
    assert json.loads((lake.root.parent / "maintenance" / "usage.json").read_text()) == {}
