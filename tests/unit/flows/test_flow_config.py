"""Names, schedules and retries that the guide promises, the queue of writers, and quick registration."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from flows.config import DEPLOYMENTS, POOL_TYPE, POOLS, TIMEZONE, Deployment, FlowSettings, retry_policy
from flows.lake.errors import LakeBusyError, SparkUnavailableError
from flows.lake.locks import SparkWork, dataset_lock, work_of_run
from flows.lake.session import SparkConnection

HEAVY = {"pyspark", "sklearn", "mlflow", "matplotlib", "pandas"}
# The guide's, in its words: daily 06:00, every 5 minutes, Sundays 02:00, Saturdays 03:00.
GUIDE = {
    "medallion-etl-daily": ("flows/medallion_etl_flow.py", "0 6 * * *", "etl-pool"),
    "monitoring-5min": ("flows/monitoring_flow.py", "*/5 * * * *", "etl-pool"),
    "mlops-training-weekly": ("flows/mlops_flow.py", "0 2 * * 0", "mlops-pool"),
    "maintenance-weekly": ("flows/maintenance_flow.py", "0 3 * * 6", "mlops-pool"),
}


def test_the_guides_flows_are_declared_with_its_schedules_and_pools() -> None:
    declared = {d.name: (d.entrypoint.partition(":")[0], d.cron, d.pool) for d in DEPLOYMENTS}
    assert {name: declared[name] for name in GUIDE} == GUIDE
    assert (TIMEZONE, POOL_TYPE) == ("America/Sao_Paulo", "process")
    assert {pool.name for pool in POOLS} == {"etl-pool", "mlops-pool"}


def test_what_only_events_and_people_start_has_no_schedule() -> None:
    assert {d.name: d.cron for d in DEPLOYMENTS if d.name not in GUIDE} == {
        "kafka-pipeline": None,
        "quarantine-audit": None,
        "quarantine-replay": None,
    }


def test_the_etl_has_the_guides_parameters() -> None:
    etl = {deployment.name: deployment for deployment in DEPLOYMENTS}["medallion-etl-daily"]
    parameters = dict(etl.parameters(FlowSettings()))
    assert parameters.pop("source_path").endswith("landing/stocks")
    assert parameters == {"enable_quality_checks": True, "min_rows_threshold": 1000}


@pytest.mark.parametrize("page", ["README.md", "README.pt-BR.md"])
def test_every_deployment_is_in_the_readme(page: str) -> None:
    text = (PROJECT_ROOT / page).read_text("utf-8")
    assert [d.name for d in DEPLOYMENTS if f"| `{d.name}` |" not in text] == []


def test_settings_are_the_projects_wherever_a_command_is_called_from() -> None:
    assert FlowSettings.model_config["env_file"] == PROJECT_ROOT / ".env"


def test_tasks_retry_three_times_a_minute_apart_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATALAB_TASK_RETRIES", "DATALAB_TASK_RETRY_DELAY_S"):
        monkeypatch.delenv(name, raising=False)
    assert retry_policy() == {"retries": 3, "retry_delay_seconds": 60.0}
    monkeypatch.setenv("DATALAB_TASK_RETRIES", "5")
    monkeypatch.setenv("DATALAB_TASK_RETRY_DELAY_S", "0.5")
    assert retry_policy() == {"retries": 5, "retry_delay_seconds": 0.5}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d.name)
def test_registering_loads_nothing_heavy_and_works_from_inside_flows(deployment: Deployment) -> None:
    file, _, function = deployment.entrypoint.removeprefix("flows/").partition(":")
    code = f"import sys, {file[:-3]} as m; print(m.{function}.name, sorted({HEAVY!r} & set(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT / "flows", capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.split(maxsplit=1) == [deployment.flow, "[]\n"]


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


def test_a_lock_names_the_spark_sessions_of_a_holder_that_did_not_close_them(tmp_path: Path) -> None:
    first, second = SparkWork("run-1", "session-1"), SparkWork("run-1", "session-2")
    with dataset_lock(tmp_path, "stocks", wait_s=1, say=print) as lease:
        assert lease.left_over == []
        lease.note(first)
        lease.note(second)
    (tmp_path / "eventos.lock").write_text("run-2 session-3\nrun-2")
    assert work_of_run(tmp_path, "run-1") == [first, second]
    assert work_of_run(tmp_path, "run-2") == [SparkWork("run-2", "session-3")], "half a line names no session"
    with dataset_lock(tmp_path, "stocks", wait_s=1, say=print) as lease:
        assert lease.left_over == [first, second]
        lease.forget()
        lease.note(SparkWork("run-3", "session-4"))
    assert [work.run_id for work in [*work_of_run(tmp_path, "run-1"), *work_of_run(tmp_path, "run-3")]] == ["run-3"]


def test_a_lake_in_s3_is_refused_where_only_a_classic_cluster_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_ROOT", "s3://lake/main")
    monkeypatch.setenv("SPARK_MASTER_URL", "spark://127.0.0.1:7077")
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    with pytest.raises(ValueError, match=r"LAKE_ROOT=s3://lake/main: .*\(SPARK_REMOTE\), not a cluster"):
        FlowSettings()
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:15002")
    assert FlowSettings().lake_root == "s3://lake/main"
