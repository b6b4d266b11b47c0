"""`datalab quarantine` as somebody types it before anything is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from datalab.cli import quarantine
from datalab.cli.main import build_app
from flows.lake.quarantine_audit import Findings


@pytest.fixture(autouse=True)
def _no_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALAB_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    monkeypatch.delenv("LAKE_ROOT", raising=False)
    monkeypatch.setattr(quarantine, "_PATIENCE_S", 0.1)


def test_a_replay_without_the_lab_says_so_in_one_line() -> None:
    said = CliRunner().invoke(build_app(), ["quarantine", "replay", "stocks"])
    assert (said.exit_code, said.stdout) == (1, "")
    assert said.stderr == (
        "datalab: the Prefect server at http://127.0.0.1:1/api has not answered for 0.1 s; is the lab up? "
        "`datalab up` starts it; nothing was changed.\n"
    )


def test_an_empty_lake_has_nothing_in_quarantine() -> None:
    listed = CliRunner().invoke(build_app(), ["quarantine", "list"])
    assert (listed.exit_code, listed.stdout.splitlines()[0]) == (0, "stocks: 0 records in quarantine")
    shown = CliRunner().invoke(build_app(), ["quarantine", "show", "stocks"])
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", "0 of 0 records\n")


def test_one_record_is_not_records() -> None:
    assert [Findings(rows=rows).amount for rows in (0, 1, 2000)] == ["0 records", "1 record", "2,000 records"]
