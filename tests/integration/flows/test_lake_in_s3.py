"""The same run on an S3 endpoint, by another LAKE_ROOT: a real server, a real Spark, nothing written beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable, write_deltalake
from typer.testing import CliRunner

from datalab.cli.main import build_app
from datalab.local.jars import JarCache
from datalab.runtime.s3_lake import delta_options
from datalab.runtime.settings import PROJECT_ROOT
from flows.lake import silver
from flows.lake.errors import LakeError
from flows.lake.tables import Lake
from flows.maintenance_flow import maintenance_pipeline
from flows.medallion_etl_flow import medallion_etl_pipeline
from flows.ml.definitions import choose_definition, load_definitions
from flows.ml.errors import GoldError
from flows.ml.gold import read_gold
from flows.quarantine_replay_flow import quarantine_replay
from flows.watch.schema_changes import SchemaChanges
from flows.watch.tables import TableHealth, look_at_lake
from schemas import metrics
from tests.integration.flows.conftest import STOCKS_TABLES, LakeView
from tests.support.lab_parts import lab_parts
from tests.support.monthly_gold import monthly_gold, real_prices
from tests.support.s3_gateway import Gateway

# The first run on a machine builds the server and fetches the jars.
pytestmark = pytest.mark.timeout(1000)

# What the monitoring flow measures of a table.
TABLE_FIGURES = {
    metrics.TABLE_AGE,
    metrics.TABLE_ROWS,
    metrics.TABLE_FILES,
    metrics.TABLE_SIZE,
    metrics.TABLE_SMALL_FILES,
    metrics.TABLE_VERSIONS,
    metrics.TABLE_SCHEMA_CHANGES,
}


@pytest.fixture
def environ(
    sparkless_lake: LakeView, store: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """The environment of a run, with a Spark server of its own that knows the store."""
    JarCache().fetch()
    with lab_parts(tmp_path / "spark lab", ["spark"], store) as state:
        names = {**store, "SPARK_REMOTE": f"sc://127.0.0.1:{state.parts['spark'].ports['spark']}"}
        for name, value in names.items():
            monkeypatch.setenv(name, value)
        yield names


def test_a_lake_in_s3_is_loaded_corrected_replayed_looked_after_and_watched(
    sparkless_lake: LakeView,
    environ: dict[str, str],
    gateway: Gateway,
    objects: Path,
    few_stocks: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rows(table: str) -> list[dict[str, Any]]:
        opened = DeltaTable(f"s3://lake/main/{table}", storage_options=delta_options(environ))
        found: list[dict[str, Any]] = opened.to_pyarrow_table().to_pylist()
        return found

    good = few_stocks(0, 40)
    path = sparkless_lake.put("first.csv", good + good.splitlines()[5] + "\nIBM,,1,1,1,1,1,1\n")
    merge = silver.merge_accepted

    def ends_after_the_merge(*arguments: Any, **options: Any) -> int:
        merge(*arguments, **options)
        raise LakeError("ended after the merge")

    with monkeypatch.context() as patch:
        patch.setattr(silver, "merge_accepted", ends_after_the_merge)
        with pytest.raises(LakeError, match="ended after the merge"):
            medallion_etl_pipeline(str(path), min_rows_threshold=1)
    done = medallion_etl_pipeline(str(path), min_rows_threshold=1)
    assert done["books"] == {"rows_in": 42, "silver": 40, "quarantined": 1, "dropped": 0, "duplicates": 1}
    assert all(table.startswith("s3a://lake/main/") for table in done["tables"])
    counts = {name: len(rows(f"{name}/stocks")) for name in ("bronze", "silver", "quarantine", "ledger")}
    assert counts == {"bronze": 42, "silver": 40, "quarantine": 1, "ledger": 1}
    assert len(rows("gold/stocks_monthly")) == 2
    assert medallion_etl_pipeline(str(sparkless_lake.landing))["files"] == []
    header, row = few_stocks(0, 1).replace("130.31", "131.5").splitlines()
    corrected = sparkless_lake.put("second.csv", f"{header},note\n{row},by hand\n")
    medallion_etl_pipeline(str(corrected), min_rows_threshold=1)
    assert (len(rows("silver/stocks")), len(rows("bronze/stocks"))) == (40, 43)
    said = CliRunner().invoke(build_app(), ["quarantine", "list", "stocks", "--json"])
    assert json.loads(said.stdout)["stocks"]["by_rule"] == {"date_present": 1}
    assert quarantine_replay("stocks")["kept"] == 1

    orphan = "main/silver/stocks/part-00000-orphan.c000.snappy.parquet"
    gateway.put("lake", orphan, b"x" * 2000)
    os.utime(objects / "buckets" / "lake" / orphan, (0, 0))
    looked_after = maintenance_pipeline()
    assert set(looked_after["tables"]) == set(looked_after["backups"]) == set(STOCKS_TABLES)
    assert looked_after["files_vacuumed"] == {"silver/stocks": 1}
    assert orphan not in keys_in(gateway)
    assert len(rows("silver/stocks")) == 40
    copy = tmp_path / "copy"
    for place in (["--to", str(copy)], ["--replace"]):
        said = CliRunner().invoke(build_app(), ["backup", "restore", "silver/stocks", *place])
        assert said.exit_code == 0, said.output
    assert len(DeltaTable(str(copy)).to_pyarrow_table()) == len(rows("silver/stocks")) == 40
    more = sparkless_lake.put("third.csv", few_stocks(40, 2))
    assert medallion_etl_pipeline(str(more), min_rows_threshold=1)["books"]["silver"] == 2

    health = look_at_lake(environ["LAKE_ROOT"], datetime.now(UTC))
    assert health.is_whole
    [aside] = [table.name for table in health.tables if ".replaced-" in table.name]
    assert {table.name: (table.rows, table.check.reason) for table in health.tables} == {
        "bronze/stocks": (45, None),
        "silver/stocks": (42, None),
        aside: (40, None),
        "gold/stocks_monthly": (2, None),
        "quarantine/stocks": (1, None),
    }
    assert_all_is_measured(health.tables)
    assert not sparkless_lake.root.exists()


def assert_all_is_measured(tables: Sequence[TableHealth]) -> None:
    """Freshness, rows, size, files, log and changes of columns, of each table; Bronze was given a column more."""
    now = datetime.now(UTC)
    for table in tables:
        assert min(table.files, table.size_bytes, table.log_versions) > 0
        assert {figure.name for figure in table.measurements(now)} == TABLE_FIGURES
        assert 0 <= (table.age_s(now) or -1) < 600
    bronze = next(table for table in tables if table.name == "bronze/stocks")
    assert (bronze.log_versions, bronze.changes) == (bronze.version + 1, SchemaChanges(1, "note (new)"))


def keys_in(gateway: Gateway) -> list[str]:
    """The objects of the bucket."""
    return [entry["Key"] for entry in gateway.client.list_objects_v2(Bucket="lake")["Contents"]]


def test_training_reads_gold_in_s3_at_any_version(store: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in store.items():
        monkeypatch.setenv(name, value)
    table = Lake("s3://lake/other", PROJECT_ROOT).table("gold", "stocks_monthly")
    model = choose_definition(load_definitions(PROJECT_ROOT / "config" / "models.yaml"), "stocks", "stocks_monthly")
    assert table.size_bytes() == 0
    with pytest.raises(GoldError, match="s3a://lake/other/gold/stocks_monthly: there is no such Delta table"):
        read_gold(table.path, model, None)
    gold = monthly_gold(real_prices())
    for version in (gold.head(100), gold):
        write_deltalake(
            "s3://lake/other/gold/stocks_monthly", version, mode="overwrite", storage_options=delta_options(store)
        )
    assert (len(read_gold(table.path, model, 0).rows), len(read_gold(table.path, model, None).rows)) == (100, 586)
    assert (table.size_bytes() or 0) > 0
