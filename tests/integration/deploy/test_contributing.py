"""The five steps of CONTRIBUTING.md for a new flow, done as they stand there in a copy of the project."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from datalab.runtime.settings import PROJECT_ROOT
from tests.integration.deploy.conftest import Prefect
from tests.support.polling import wait_for

NAME = "landing-count/landing-count-hourly"


def blocks(step: int, language: str) -> list[str]:
    """The code of a step of the guide."""
    text = (PROJECT_ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = text.split(f"\n### {step}. ")[1].split("\n##")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.S)


def command(line: str) -> list[str]:
    """A line of the guide as words of a command."""
    return shlex.split(line)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after steps 1 and 2."""
    copy = tmp_path_factory.mktemp("contributing") / "project"
    for name in ("flows", "datalab", "schemas", "config"):
        shutil.copytree(PROJECT_ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    [flow], [deployment] = blocks(1, "python"), blocks(2, "python")
    [file] = re.findall(r"`(flows/\w+\.py)`:\n", (PROJECT_ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    (copy / file).write_text(flow, "utf-8")
    config = copy / "flows" / "config.py"
    text = config.read_text("utf-8")
    assert text.count("\nDEPLOYMENTS = (\n") == 1
    config.write_text(text.replace("\nDEPLOYMENTS = (\n", f"\nDEPLOYMENTS = (\n{deployment}"), "utf-8")
    return copy


@pytest.fixture(scope="module")
def lab(copy: Path, kafka_bootstrap: str, prefect: Prefect) -> Iterator[dict[str, str]]:
    """The environment of the copy: its own code and state, the tests' broker. Its deployment goes away at the end."""
    home = copy / ".datalab"
    for dataset, files in {"stocks": 2, "eventos": 3}.items():
        (home / "landing" / dataset).mkdir(parents=True)
        for number in range(files):
            (home / "landing" / dataset / f"{number}.csv").touch()
    yield {"PYTHONPATH": str(copy), "DATALAB_HOME": str(home), "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap}
    prefect.request("DELETE", f"/deployments/{prefect.deployment(NAME)['id']}")


def test_the_new_flow_is_registered_beside_the_others(prefect: Prefect, copy: Path, lab: dict[str, str]) -> None:
    [deploy] = blocks(3, "bash")
    answer = prefect.run(*command(deploy), cwd=copy, **lab)
    assert answer.returncode == 0, answer.stderr
    assert re.search(rf"^{NAME} +etl-pool +0 \* \* \* \* America/Sao_Paulo +created ", answer.stdout, re.M)
    found = prefect.deployment(NAME)
    assert found["path"] == str(copy)
    assert [(s["schedule"]["cron"], s["active"]) for s in found["schedules"]] == [("0 * * * *", True)]


def test_the_new_flow_runs_as_a_plain_function(prefect: Prefect, copy: Path, lab: dict[str, str]) -> None:
    locally = blocks(4, "bash")[0].splitlines()[0]
    answer = prefect.run(*command(locally), cwd=copy, **lab)
    assert answer.stdout.splitlines()[-1:] == ["2"], answer.stderr


def test_the_new_flow_runs_on_the_lab_when_triggered(prefect: Prefect, copy: Path, lab: dict[str, str]) -> None:
    prefect.run("python", "flows/manage_deployments.py", "deploy", cwd=copy, **lab)
    triggering, listing = blocks(4, "bash")[0].splitlines()[1:3]
    triggered = prefect.run(*command(triggering), "--json", cwd=copy, **lab)
    assert triggered.returncode == 0, triggered.stderr
    identifier = re.findall(r'"id": "([0-9a-f-]{36})"', triggered.stdout)[0]
    # What a worker does with a run, without a worker that would take the others' runs as well.
    executed = prefect.run("prefect", "flow-run", "execute", identifier, cwd=copy, **lab)
    assert executed.returncode == 0, executed.stderr
    run = prefect.request("GET", f"/flow_runs/{identifier}")
    assert (run["state_type"], run["parameters"]) == ("COMPLETED", {"dataset": "eventos"})
    wanted = {"logs": {"flow_run_id": {"any_": [identifier]}}}
    # Prefect stores lines a little later than it takes them.
    wait_for(
        lambda: "eventos: 3 files" in [entry["message"] for entry in prefect.request("POST", "/logs/filter", wanted)],
        what="the line that the run printed",
    )
    assert identifier in prefect.run(*command(listing), cwd=copy, **lab).stdout


def test_bad_input_is_a_plain_message_in_the_runs_state(prefect: Prefect, copy: Path, lab: dict[str, str]) -> None:
    answer = prefect.run(
        "python", "-c", "from flows.landing_count_flow import landing_count; landing_count('nothing')", cwd=copy, **lab
    )
    assert answer.returncode == 1
    assert f"dataset: there is no directory {lab['DATALAB_HOME']}/landing/nothing; create it" in answer.stderr
