"""The guide's commands, typed as they stand there, against a real Prefect server; and what to type where Prefect 3
has another word for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import httpx
from sqlalchemy import text

from datalab.runtime.settings import PROJECT_ROOT
from datalab.store.engine import create_engine
from flows.config import DEPLOYMENTS
from tests.integration.deploy.conftest import Prefect

SCRIPT = str(PROJECT_ROOT / "scripts" / "init_prefect_flows.sh")
NAMES = {deployment.full_name for deployment in DEPLOYMENTS}


def test_the_script_makes_pools_and_deployments_and_may_be_run_again(prefect: Prefect) -> None:
    first, second = prefect.run(SCRIPT), prefect.run(SCRIPT, cwd=PROJECT_ROOT / "flows")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert second.stdout.count(" unchanged ") == len(NAMES)
    assert {pool["name"] for pool in prefect.request("POST", "/work_pools/filter", {})} >= {"etl-pool", "mlops-pool"}


def test_the_script_waits_and_says_so_when_there_is_no_server(prefect: Prefect) -> None:
    answer = prefect.run(SCRIPT, PREFECT_API_URL="http://127.0.0.1:1/api", PREFECT_WAIT_SECONDS="1")
    assert answer.returncode == 1
    waiting, given_up = answer.stderr.splitlines()
    assert waiting == "waiting for the Prefect server at http://127.0.0.1:1/api"
    assert given_up == "the Prefect server at http://127.0.0.1:1/api has not answered for 1 s; is the lab up?"


def test_the_four_commands_work_from_inside_flows(prefect: Prefect, deployed: Any) -> None:
    inside = PROJECT_ROOT / "flows"
    answers = {
        word: prefect.run("python", "manage_deployments.py", *word.split(), cwd=inside)
        for word in ("deploy", "list", "trigger medallion-etl-daily", "runs")
    }
    assert [answer.stderr for answer in answers.values()] == [""] * 4
    assert all(name in answers["list"].stdout for name in NAMES)
    run = answers["trigger medallion-etl-daily"].stdout.splitlines()[1].split()
    assert run[:3] == [run[0], "medallion-etl/medallion-etl-daily", "Scheduled"]
    assert prefect.request("GET", f"/flow_runs/{run[3]}")["name"] == run[0]


def test_runs_are_those_that_have_been_or_are_due(prefect: Prefect, deployed: Any) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=1)
    planned = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    found = prefect.request("POST", "/flow_runs/filter", planned)
    later = {run["id"] for run in found if datetime.fromisoformat(run["expected_start_time"]) > soon}
    [run] = prefect.manage("trigger", "monitoring-5min")
    listed = [row["id"] for row in prefect.manage("runs", "--limit", "50")]
    assert run["id"] in listed
    assert not later & set(listed)


def test_every_deployment_can_be_triggered_by_its_name(prefect: Prefect, deployed: Any) -> None:
    parameters = {
        "kafka-pipeline": {"topico_entrada": "a", "topico_saida": "b"},
        "quarantine-audit": {"dataset": "stocks"},
        "quarantine-replay": {"dataset": "stocks"},
    }
    for declared in DEPLOYMENTS:
        options = [w for k, v in parameters.get(declared.name, {}).items() for w in ("--param", f"{k}={v}")]
        [run] = prefect.manage("trigger", declared.name, *options)
        assert (run["deployment"], run["state"]) == (declared.full_name, "Scheduled")


def test_an_unknown_deployment_is_an_error_that_lists_the_known(prefect: Prefect, deployed: Any) -> None:
    answer = prefect.run("python", "flows/manage_deployments.py", "trigger", "medalion")
    assert answer.returncode == 1
    [line] = answer.stderr.splitlines()
    said, _, known = line.partition("; known deployments: ")
    assert said == "unknown deployment 'medalion'"
    assert set(known.split(", ")) >= NAMES


def test_prefect_wants_the_name_of_the_flow_too(prefect: Prefect, deployed: Any) -> None:
    refused = prefect.run("prefect", "deployment", "run", "medallion-etl-daily")
    assert refused.returncode == 1
    assert "Expected format: <FLOW_NAME>/<DEPLOYMENT_NAME>" in refused.stderr
    taken = prefect.run("prefect", "deployment", "run", "medallion-etl/medallion-etl-daily")
    assert taken.returncode == 0, taken.stderr
    assert "Created flow run" in taken.stdout


def test_prefect_lists_the_deployments(prefect: Prefect, deployed: Any) -> None:
    answer = prefect.run("prefect", "deployment", "ls", "-o", "json")
    names = (
        answer.stdout if answer.returncode == 0 else prefect.run("prefect", "deployment", "ls", COLUMNS="200").stdout
    )
    assert all(deployment.name in names for deployment in DEPLOYMENTS)


def test_health_answers_on_localhost(prefect: Prefect) -> None:
    port = httpx.URL(prefect.api).port
    assert prefect.run("curl", "-fsS", f"http://localhost:{port}/api/health").stdout == "true"


def test_the_guides_worker_starts_and_workers_lists_it(prefect: Prefect, deployed: Any) -> None:
    start = ["prefect", "worker", "start", "--pool", "default-agent-pool", "--type", "process"]
    answer = prefect.run(*start, "--name", "by-hand", "--run-once")
    assert answer.returncode == 0, answer.stderr
    [listed] = [row for row in prefect.manage("workers") if row["name"] == "by-hand"]
    assert listed["pool"] == "default-agent-pool"
    assert listed["last heard of"]


def test_prefect_has_no_list_of_workers_so_ours_is_the_one(prefect: Prefect) -> None:
    answer = prefect.run("prefect", "worker", "ls")
    assert answer.returncode != 0
    assert 'Unknown command "ls"' in answer.stdout + answer.stderr


def test_a_stuck_run_can_be_read_and_cancelled(prefect: Prefect, deployed: Any) -> None:
    [run] = prefect.manage("trigger", "monitoring-5min")
    logs, cancelled = (prefect.run("prefect", "flow-run", word, run["id"]) for word in ("logs", "cancel"))
    assert (logs.returncode, cancelled.returncode) == (0, 0), logs.stderr + cancelled.stderr
    assert prefect.request("GET", f"/flow_runs/{run['id']}")["state_type"] in {"CANCELLING", "CANCELLED"}


def test_a_paused_schedule_can_be_found_and_resumed(prefect: Prefect, deployed: Any) -> None:
    name = "medallion-etl/medallion-etl-daily"
    [schedule] = prefect.deployment(name)["schedules"]
    for word, active in (("pause", False), ("resume", True)):
        answer = prefect.run("prefect", "deployment", "schedule", word, name, schedule["id"])
        assert answer.returncode == 0, answer.stderr
        assert prefect.deployment(name)["schedules"][0]["active"] is active
    listed = prefect.run("prefect", "deployment", "schedule", "ls", name, COLUMNS="200")
    assert schedule["id"] in listed.stdout


def test_the_page_and_the_api_are_at_one_address(prefect: Prefect) -> None:
    page = prefect.run("curl", "-fsSL", prefect.api.removesuffix("/api"))
    assert "<title>Prefect" in page.stdout, page.stderr
    assert prefect.request("GET", "/admin/version") == version("prefect")


def test_the_tutorials_deployments_are_of_an_older_prefect(prefect: Prefect) -> None:
    answer = prefect.run("python", "-c", "from prefect.deployments import Deployment")
    assert answer.returncode == 1
    assert "`prefect.deployments:Deployment` has been removed" in answer.stderr


async def test_prefect_keeps_its_tables_in_postgres(prefect: Prefect, deployed: Any) -> None:
    engine = create_engine(prefect.database)
    try:
        async with engine.connect() as connection:
            stored = await connection.scalars(text("SELECT name FROM deployment"))
            assert set(stored) >= {deployment.name for deployment in DEPLOYMENTS}
    finally:
        await engine.dispose()
