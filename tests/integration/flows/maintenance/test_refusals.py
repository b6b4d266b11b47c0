"""What maintenance refuses, does not find or cannot reach: said plainly, and everything else is done."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from flows.lake.locks import dataset_lock
from flows.maintenance_flow import maintenance_pipeline
from flows.upkeep import backup as backups
from flows.upkeep.errors import MaintenanceError, UpkeepError
from tests.integration.flows.conftest import STOCKS_TABLES, LakeView
from tests.integration.flows.maintenance.conftest import (
    OLD,
    RECENT,
    Lab,
    file_count,
    report_of,
    retry_quickly,
)


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


def test_kafka_down_fails_the_run_but_not_the_work(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    with pytest.raises(MaintenanceError, match=r"publish: ConnectionError: no Kafka broker answers at 127\.0\.0\.1:1"):
        maintenance_pipeline(tables=["ledger/stocks"])
    assert len(lab.backups("ledger/stocks")) == 1
    assert len(list((lab.home / "reports" / "maintenance").glob("*.html"))) == 1


def test_an_empty_lake_is_no_failure_and_wrong_parameters_are_plain(
    lake: LakeView, monkeypatch: pytest.MonkeyPatch
) -> None:
    retry_quickly(monkeypatch)
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
