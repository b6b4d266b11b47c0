"""The guide's commands against a real Prefect server."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from datalab.runtime.settings import PROJECT_ROOT


def _command(*words: str, api: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "flows/manage_deployments.py", *words],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PREFECT_API_URL": api},
        timeout=200,
        check=False,
    )


@pytest.fixture(scope="module")
def api(prefect_api_url: str) -> str:
    script = subprocess.run(
        [str(PROJECT_ROOT / "scripts" / "init_prefect_flows.sh")],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PREFECT_API_URL": prefect_api_url},
        check=False,
    )
    assert script.returncode == 0, script.stderr
    assert "medallion-etl/medallion-etl-daily" in script.stdout
    return prefect_api_url


def test_deploying_again_changes_nothing(api: str) -> None:
    first, second = (json.loads(_command("deploy", "--json", api=api).stdout) for _ in range(2))
    assert first == second
    [listed] = [d for d in json.loads(_command("list", "--json", api=api).stdout) if d["name"] == first[0]["name"]]
    assert (listed["pool"], listed["schedule"], listed["id"]) == (
        "etl-pool",
        "0 6 * * * America/Sao_Paulo",
        first[0]["id"],
    )


def test_trigger_returns_at_once_and_runs_shows_the_run(api: str) -> None:
    triggered = _command("trigger", "medallion-etl-daily", "--param", "min_rows_threshold=5", "--json", api=api)
    [run] = json.loads(triggered.stdout)
    assert run["state"] == "Scheduled"
    listed = json.loads(_command("runs", "--limit", "200", "--json", api=api).stdout)
    assert {r["id"]: r["deployment"] for r in listed}[run["id"]] == "medallion-etl-daily"


def test_a_wrong_name_or_parameter_or_server_is_one_plain_line(api: str) -> None:
    answers = {
        "unknown deployment 'nope'; known deployments: ": _command("trigger", "nope", api=api),
        "min_rows_threshold": _command("trigger", "medallion-etl-daily", "--param", "min_rows_threshold=x", api=api),
        "NAME=VALUE": _command("trigger", "medallion-etl-daily", "--param", "x", api=api),
        "does not answer": _command("list", api="http://127.0.0.1:1/api"),
    }
    for message, answer in answers.items():
        assert answer.returncode == 1
        assert message in answer.stderr
        assert len(answer.stderr.splitlines()) == 1
    assert "medallion-etl/medallion-etl-daily" in answers["unknown deployment 'nope'; known deployments: "].stderr
