"""The commands: exit codes, data on stdout and messages on stderr, JSON that can be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from datalab.cli import demo, doctor, down, status, up
from datalab.local.demo.proof import Proof
from datalab.local.doctor import examine
from datalab.local.layout import LabLayout
from datalab.local.state import LabLock, LabState, Phase


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setenv("DATALAB_HOME", str(tmp_path))
    commands = typer.Typer()
    for module in (doctor, down, status, up):
        module.register(commands)
    return commands


def test_status_of_a_stopped_lab_says_so_and_exits_3(app: typer.Typer) -> None:
    plain, as_json = CliRunner().invoke(app, ["status"]), CliRunner().invoke(app, ["status", "--json"])

    assert (plain.exit_code, as_json.exit_code) == (3, 3)
    assert "datalab up" in plain.stdout
    assert json.loads(as_json.stdout)["state"] == "stopped"


def test_down_of_a_stopped_lab_is_no_error_and_prints_no_data(app: typer.Typer) -> None:
    answer = CliRunner().invoke(app, ["down"])

    assert (answer.exit_code, answer.stdout) == (0, "")
    assert "No lab runs" in answer.stderr


def test_up_without_java_is_one_line_with_the_command_that_mends_it(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)

    answer = CliRunner().invoke(app, ["up"])

    assert answer.exit_code == 2
    assert answer.stderr.count("\n") == 1
    assert "apt-get install openjdk-17" in answer.stderr


def test_up_with_an_unknown_part_names_the_known_ones(app: typer.Typer) -> None:
    answer = CliRunner().invoke(app, ["up", "--detach", "--parts", "kafak"])

    assert answer.exit_code == 2
    assert "'kafak'" in answer.stderr
    assert "kafka" in answer.stderr


def test_doctor_names_every_check_and_how_to_mend_it(app: typer.Typer) -> None:
    answer = CliRunner().invoke(app, ["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(answer.stdout)["checks"]}

    assert set(checks) == {
        "python",
        "packages",
        "java",
        "folders",
        "disk",
        "make",
        "memory",
        "processors",
        "jars",
        "database",
        "ports",
        "locale",
    }
    assert all(check["mend"] for check in checks.values() if check["status"] != "ok")


def test_a_folder_that_cannot_be_made_is_fatal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    found = examine(LabLayout.at(tmp_path / "file" / "lab"), {}, fatal_only=True)
    findings = {finding.name: finding for finding in found}

    assert findings["folders"].fatal
    assert "DATALAB_HOME" in findings["folders"].mend


def test_up_while_the_lab_is_being_stopped_is_no_success(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = LabLayout.at(tmp_path)
    lock = LabLock(layout.lock_file)
    assert lock.acquire()
    LabState(layout.lab_id, str(layout.home), phase="stopping").save(layout)
    monkeypatch.setattr("datalab.local.doctor.examine", lambda *_, **__: [])
    monkeypatch.setattr("datalab.cli.fetch.fetch_with_progress", lambda _: 0)

    answer = CliRunner().invoke(app, ["up"])

    lock.release()
    assert answer.exit_code == 1
    assert "is being stopped" in answer.stderr


@pytest.mark.parametrize(("phase", "stops"), [("starting", False), ("ready", False), ("stopped", True)])
def test_the_demonstration_stops_only_a_lab_that_it_started(
    phase: Phase, stops: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = LabLayout.at(tmp_path)
    lock = LabLock(layout.lock_file)
    if not stops:
        assert lock.acquire()
    LabState(layout.lab_id, str(layout.home), phase=phase).save(layout)
    stopped: list[LabLayout] = []

    async def demonstrate(*_: object, **__: object) -> Proof:
        return Proof([])

    monkeypatch.setenv("DATALAB_HOME", str(tmp_path))
    monkeypatch.setattr("datalab.cli.up.bring_up", lambda **_: 0)
    monkeypatch.setattr("datalab.local.demo.run.demonstrate", demonstrate)
    monkeypatch.setattr("datalab.local.control.stop", stopped.append)
    commands = typer.Typer()
    demo.register(commands)

    answer = CliRunner().invoke(commands, [])

    lock.release()
    assert answer.exit_code == 0, answer.output
    assert stopped == ([layout] if stops else [])
