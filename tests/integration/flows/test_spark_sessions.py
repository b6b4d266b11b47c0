"""Spark's work belongs to a run: it ends with the run, however that ends, and is the same on a classic driver."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.synchronize import Event as Signal
from pathlib import Path

import psutil
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Crashed

from datalab.local.jars import JarCache
from datalab.local.state import LabState
from datalab.runtime.settings import PROJECT_ROOT
from flows.lake.datasets import Dataset, Gold
from flows.lake.date_cuts import with_plain_cuts
from flows.lake.hooks import end_spark_work
from flows.lake.locks import Lease, dataset_lock, work_of_run
from flows.lake.session import SparkConnection
from flows.lake.tables import instant
from flows.medallion_etl_flow import medallion_etl_pipeline
from tests.integration.flows.conftest import LakeView

# Hours of work for one core, with nothing to read or to write.
_ENDLESS = "SELECT max(hash(id)) FROM range(0, 1000000000000, 1, 1)"
# The same plan, so that what a cold server does for it is not taken for the endless work.
_SHORT = "SELECT max(hash(id)) FROM range(0, 1000, 1, 1)"


def _busy(server: psutil.Process) -> bool:
    # One thread at work has a whole core, or a good part of one beside others; an idle server has a few percent.
    return server.cpu_percent(interval=1.0) > 20


def _wait_until(busy: bool, server: psutil.Process) -> None:
    deadline = time.monotonic() + 90
    while _busy(server) is not busy:
        assert time.monotonic() < deadline, f"Spark is {'idle' if busy else 'still at work'}"


@pytest.fixture
def server(spark_lab: LabState, spark_remote: str) -> psutil.Process:
    """Whoever listens now: another test may have killed the server that the session began with."""
    alive = connection(spark_remote)
    with alive.session():
        alive.close()
    port = spark_lab.parts["spark"].ports["spark"]
    listens = {c.pid for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port}
    process = psutil.Process(listens.pop())
    _wait_until(False, process)
    return process


def connection(remote: str, run_id: str | None = None, lease: Lease | None = None) -> SparkConnection:
    return SparkConnection(remote=remote, master=None, wait_s=30, say=print, run_id=run_id, lease=lease)


def _work_for_ever(remote: str, server: int, locks: Path, run_id: str, opened: Signal) -> None:
    with dataset_lock(locks, "stocks", wait_s=1, say=print) as lease:
        spark = connection(remote, run_id=run_id, lease=lease)
        with spark.session() as session:
            session.sql(_SHORT).collect()
            # The server goes on compiling for a moment, and that would look like work.
            _wait_until(False, psutil.Process(server))
            opened.set()
            session.sql(_ENDLESS).collect()


@pytest.fixture
def killed_run(tmp_path: Path, spark_remote: str, server: psutil.Process) -> str:
    """The id of a run that was killed while Spark worked for it."""
    run_id, context = str(uuid.uuid4()), multiprocessing.get_context("spawn")
    opened = context.Event()
    run = context.Process(target=_work_for_ever, args=(spark_remote, server.pid, tmp_path, run_id, opened))
    run.start()
    assert opened.wait(120)
    _wait_until(True, server)
    run.kill()
    run.join(10)
    _wait_until(True, server)  # Spark does not know that the run is dead
    return run_id


def test_closing_a_session_ends_its_work_and_its_views_are_its_own(spark_remote: str, server: psutil.Process) -> None:
    mine, other = connection(spark_remote, run_id="r-1"), connection(spark_remote, run_id="r-2")
    with mine.session() as session, other.session() as stranger:
        assert (session.getTags(), stranger.getTags()) == ({"datalab-run=r-1"}, {"datalab-run=r-2"})
        session.sql("SELECT 1").createOrReplaceTempView("mine")
        assert not stranger.catalog.tableExists("mine")
        ended: list[Exception] = []

        def work() -> None:
            try:
                session.sql(_ENDLESS).collect()
            except Exception as error:
                ended.append(error)

        worker = threading.Thread(target=work)
        worker.start()
        _wait_until(True, server)
        mine.close()
        worker.join(90)
        assert ended
        assert stranger.sql("SELECT 1 AS one").collect()[0]["one"] == 1
        other.close()
    _wait_until(False, server)


def test_the_next_run_on_a_dataset_ends_what_a_killed_one_left(
    tmp_path: Path, spark_remote: str, server: psutil.Process, killed_run: str
) -> None:
    said: list[str] = []
    with dataset_lock(tmp_path, "stocks", wait_s=5, say=print) as lease:
        assert [work.run_id for work in lease.left_over] == [killed_run]
        spark = SparkConnection(remote=spark_remote, master=None, wait_s=30, say=said.append, lease=lease)
        with spark.session() as session:
            assert session.sql("SELECT 1 AS one").collect()[0]["one"] == 1
        spark.close()
    assert said == [f"ending what run {killed_run} left at work in Spark when it was killed"]
    _wait_until(False, server)
    with dataset_lock(tmp_path, "stocks", wait_s=5, say=print) as lease:
        assert lease.left_over == []


def test_the_hook_of_a_killed_run_ends_its_work(
    tmp_path: Path, spark_remote: str, server: psutil.Process, killed_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_REMOTE", spark_remote)
    monkeypatch.setenv("LAKE_ROOT", str(tmp_path / "lake"))
    locks = tmp_path / "lake" / "_work" / "locks"
    locks.mkdir(parents=True)
    (tmp_path / "stocks.lock").rename(locks / "stocks.lock")
    assert work_of_run(locks, killed_run)
    other = FlowRun(flow_id=uuid.uuid4())
    run = FlowRun(id=uuid.UUID(killed_run), flow_id=uuid.uuid4())
    for ended in (other, run):
        _wait_until(True, server)
        end_spark_work(medallion_etl_pipeline, ended, Crashed())
    _wait_until(False, server)


def test_small_work_is_interpreted_and_large_or_unknown_is_compiled(spark_remote: str) -> None:
    spark = connection(spark_remote)
    found = []
    for size in (None, 1000, 1000, 1 << 30, 0, None):
        with spark.session(size) as session:
            conf = session.conf
            found.append((conf.get("spark.sql.codegen.wholeStage"), conf.get("spark.sql.shuffle.partitions")))
    spark.close()
    compiled, interpreted = ("true", "2"), ("false", "1")
    assert found == [compiled, interpreted, interpreted, compiled, interpreted, compiled]


def test_a_time_of_the_load_is_told_and_is_not_in_the_code_that_is_compiled(spark_remote: str) -> None:
    when = datetime(2026, 11, 29, 6, 1, 2, 345678, UTC)
    micros = str(int(when.timestamp()) * 1_000_000 + when.microsecond)
    spark = connection(spark_remote)
    with spark.session() as session:
        session.range(3).selectExpr("id", "nullif(CAST(id AS STRING), '9') AS word").createOrReplaceTempView("three")
        told = session.sql(f"SELECT {instant(when, 'word IS NULL')} AS t FROM three").toArrow()
        assert told.column("t").to_pylist() == [when] * 3
        codes = {
            name: str(session.sql(f"EXPLAIN CODEGEN SELECT id, {time} AS t FROM three").collect()[0][0])
            for name, time in {
                "instant": instant(when, "word IS NULL"),
                "literal": f"TIMESTAMP '{when.isoformat()}'",
            }.items()
        }
    spark.close()
    assert f"{micros}L" in codes["literal"]
    assert "Generated code" in codes["instant"]
    assert f"{micros}L" not in codes["instant"]


def test_a_date_is_cut_as_its_definition_says(spark_remote: str) -> None:
    dataset = Dataset.model_validate(
        {"name": "t", "columns": {"day": {"type": "date", "required": True}}, "keys": ["day"]}
    )
    units = ("year", "quarter", "month", "week", "day")
    said = {unit: f"CAST(date_trunc('{unit}', day) AS DATE)" for unit in units}
    plain = with_plain_cuts(dataset, Gold(group_by=said, aggregates={"n": "count(*)"})).group_by
    assert not set(plain.values()) & set(said.values())
    days = "explode(sequence(DATE '1899-12-25', DATE '2101-03-02', INTERVAL 1 DAY)) AS day"
    differ = [f"count_if(NOT ({said[unit]} <=> {plain[unit]}) OR {plain[unit]} IS NULL) AS of_{unit}" for unit in units]
    spark = connection(spark_remote)
    with spark.session() as session:
        found = session.range(1).selectExpr(days).selectExpr("count(*) AS days", *differ).collect()[0].asDict()
        none = session.sql(f"SELECT {', '.join(plain.values())} FROM (SELECT CAST(NULL AS DATE) AS day)").collect()
    spark.close()
    assert found == {"days": 73_482, **{f"of_{unit}": 0 for unit in units}}
    assert set(none[0]) == {None}


def test_a_classic_driver_leaves_the_same_tables(
    lake: LakeView, few_stocks: Callable[..., str], tmp_path: Path, prefect_api_url: str
) -> None:
    path = lake.put("prices.csv", few_stocks(0, 40) + "IBM,,1,1,1,1,1,1\n")
    medallion_etl_pipeline(str(path), min_rows_threshold=1)
    classic = LakeView(tmp_path / "classic", path.parent)
    environment = {name: value for name, value in os.environ.items() if name != "SPARK_REMOTE"}
    jars = ",".join(map(str, JarCache().paths("delta")))
    environment |= {"SPARK_MASTER_URL": "local[2]", "DATALAB_SPARK_JARS": jars, "LAKE_ROOT": str(classic.root)}
    call = f"medallion_etl_pipeline({str(path)!r}, min_rows_threshold=1)"
    code = f"from flows.medallion_etl_flow import medallion_etl_pipeline; {call}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "PREFECT_API_URL": prefect_api_url},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert classic.content() == lake.content()
