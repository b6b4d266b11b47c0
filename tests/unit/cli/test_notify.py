"""`datalab notify check` and `explain` by a file alone, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from datalab.cli import notify
from services.notifier.config import ConfigError

FILE = """receivers:
  - {name: mail, channel: email, to: [a@datalab.example]}
  - {name: chat, channel: slack, url_env: UNSET_URL}
time_intervals:
  - {name: always, times: [{weekdays: mon-sun}]}
routes:
  - name: stocks
    match: {labels: {dataset: stocks}}
    receivers: mail
    routes:
      - {name: quiet, match: {severity: info}, mute: always}
  - {name: rest, receivers: chat}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "notify.yaml"
    path.write_text(FILE)
    return path


def datalab(*words: str) -> Result:
    app = typer.Typer()
    notify.register(app)
    return CliRunner().invoke(app, ["notify", *words], env={"SMTP_HOST": "mail.example"})


def test_a_right_file_is_counted(file: Path) -> None:
    result = datalab("check", str(file))
    assert (result.exit_code, result.output) == (
        0,
        f"{file} is right: 3 routes, 2 receivers, 1 time interval, 0 inhibitions.\n",
    )


def test_each_fault_is_told_with_its_line(file: Path) -> None:
    file.write_text(FILE.replace("mute: always", "mute: nights").replace("receivers: chat", "receivers: [chat, pager]"))
    told = json.loads(datalab("check", str(file), "--json").output)
    assert told["right"] is False
    assert [fault.removeprefix(f"{file}:").split(": ")[:2] for fault in told["faults"]] == [
        ["11", "routes.0.routes.0.mute"],
        ["12", "routes.1.receivers"],
    ]
    result = datalab("check", str(file))
    assert result.exit_code == 1
    assert isinstance(result.exception, ConfigError)


@pytest.mark.parametrize(
    ("alert", "said"),
    [
        (
            {"rule": "x", "severity": "error", "labels": {"dataset": "stocks"}},
            "mail (email, by stocks): told at once, at most 5 a second",
        ),
        (
            {"rule": "x", "severity": "info", "labels": {"dataset": "stocks"}},
            "mail (email, by stocks/quiet): not told: muted: it is",
        ),
        (
            {"rule": "x", "severity": "info"},
            "chat (slack, by rest): not told: receiver chat is not configured: set UNSET",
        ),
        ({"rule": "x", "severity": "info"}, "✗ stocks: label dataset is absent, which does not fit stocks"),
    ],
)
def test_what_becomes_of_an_alert_is_explained(file: Path, alert: dict[str, object], said: str) -> None:
    result = datalab("explain", json.dumps(alert), "--file", str(file))
    assert result.exit_code == 0, result.output
    assert said in result.output


def test_an_alert_from_a_file_and_as_json(file: Path, tmp_path: Path) -> None:
    given = tmp_path / "alert.json"
    given.write_text(json.dumps({"data": {"rule": "x", "severity": "error"}}))
    told = json.loads(datalab("explain", f"@{given}", "--file", str(file), "--json").output)
    assert [(one["receiver"], one["route"]) for one in told["receivers"]] == [("chat", "rest")]


@pytest.mark.parametrize(
    ("alert", "said"),
    [('{"rule": "x", "severity": "bad"}', "the alert is not right: severity"), ('{"rule"', "Expecting")],
)
def test_an_alert_that_is_none_is_refused(file: Path, alert: str, said: str) -> None:
    assert said in str(datalab("explain", alert, "--file", str(file)).exception)


def test_a_file_goes_with_an_alert_as_json_only(file: Path) -> None:
    assert "--file: goes with an alert as JSON only" in str(datalab("explain", "fp-1", "--file", str(file)).exception)
