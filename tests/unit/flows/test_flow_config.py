"""Names, schedules and retries that the guide promises, the queue of writers, and quick registration."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from flows.config import DEPLOYMENTS, POOL_TYPE, POOLS, TIMEZONE, FlowSettings, retry_policy
from flows.lake.errors import LakeBusyError, SparkUnavailableError
from flows.lake.locks import dataset_lock
from flows.lake.session import SparkConnection


def test_the_etl_is_deployed_as_promised() -> None:
    etl = {deployment.full_name: deployment for deployment in DEPLOYMENTS}["medallion-etl/medallion-etl-daily"]
    assert (etl.cron, TIMEZONE, etl.pool, POOL_TYPE) == ("0 6 * * *", "America/Sao_Paulo", "etl-pool", "process")
    assert {pool.name for pool in POOLS} == {"etl-pool", "mlops-pool"}
    assert etl.parameters(FlowSettings())["source_path"].endswith("landing/stocks")


def test_tasks_retry_three_times_a_minute_apart_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATALAB_TASK_RETRIES", "DATALAB_TASK_RETRY_DELAY_S"):
        monkeypatch.delenv(name, raising=False)
    assert retry_policy() == {"retries": 3, "retry_delay_seconds": 60.0}
    monkeypatch.setenv("DATALAB_TASK_RETRIES", "5")
    monkeypatch.setenv("DATALAB_TASK_RETRY_DELAY_S", "0.5")
    assert retry_policy() == {"retries": 5, "retry_delay_seconds": 0.5}


def test_registering_needs_no_pyspark_and_works_from_inside_flows() -> None:
    code = "import sys, medallion_etl_flow as m; print(m.medallion_etl_pipeline.name, 'pyspark' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT / "flows", capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.split() == ["medallion-etl", "False"]


def test_a_second_writer_waits_says_so_and_gives_up_in_time(tmp_path: Path) -> None:
    said: list[str] = []
    with (
        dataset_lock(tmp_path, "stocks", wait_s=1, say=said.append),
        dataset_lock(tmp_path, "eventos", wait_s=1, say=said.append),
        pytest.raises(LakeBusyError, match="stocks"),
        dataset_lock(tmp_path, "stocks", wait_s=0.5, say=said.append),
    ):
        pass
    assert len(said) == 1
    assert "waiting" in said[0]


def _hold(directory: Path, held: multiprocessing.synchronize.Event) -> None:
    with dataset_lock(directory, "stocks", wait_s=5, say=print):
        held.set()
        time.sleep(60)


def test_a_killed_writer_gives_its_lock_back(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    held = context.Event()
    writer = context.Process(target=_hold, args=(tmp_path, held))
    writer.start()
    assert held.wait(10)
    writer.kill()
    writer.join(10)
    with dataset_lock(tmp_path, "stocks", wait_s=5, say=print):
        pass


def test_no_spark_is_said_plainly_and_soon() -> None:
    said: list[str] = []
    connection = SparkConnection(remote="sc://127.0.0.1:1", master=None, wait_s=0.1, say=said.append)
    with pytest.raises(SparkUnavailableError, match=r"Spark Connect at 127\.0\.0\.1:1"), connection.session():
        pass
    assert said == ["waiting for Spark Connect at 127.0.0.1:1"]
    nothing = SparkConnection(remote=None, master=None, wait_s=0.1, say=said.append)
    with pytest.raises(SparkUnavailableError, match="SPARK_REMOTE"), nothing.session():
        pass
