"""What the process is started with, and what it says of wrong settings."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from streamlit import config

from services.dashboard.app import SCRIPT, options
from services.dashboard.settings import DashboardSettings

ROOT = Path(__file__).resolve().parents[3]


def settings(**values: object) -> DashboardSettings:
    without_env_file: Any = partial(DashboardSettings, _env_file=None)
    made: DashboardSettings = without_env_file(**values)
    return made


def test_it_listens_here_alone_calls_nobody_and_shows_no_stack_trace() -> None:
    chosen = options(settings())

    assert (chosen["server.address"], chosen["server.port"]) == ("127.0.0.1", 8501)
    assert chosen["browser.gatherUsageStats"] is False
    assert chosen["server.fileWatcherType"] == "none"
    assert chosen["client.showErrorDetails"] == "none"
    assert chosen["server.headless"] is True


def test_streamlit_knows_every_option() -> None:
    known = config.get_config_options()
    assert options(settings()).keys() <= known.keys()


def test_nothing_beside_the_script_is_taken_for_a_module_or_a_page() -> None:
    assert [path.name for path in SCRIPT.parent.iterdir() if path.name != "__pycache__"] == [SCRIPT.name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("monitor_url", "monitor:8083"),
        ("bridge_url", ""),
        ("dashboard_language", "fr"),
        ("dashboard_timezone", "Sao Paulo"),
        ("dashboard_timezone", "../etc/passwd"),
        ("dashboard_refresh_s", 0),
        ("dashboard_deadline_s", -1),
    ],
)
def test_a_wrong_setting_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        settings(**{name: value})


def test_addresses_lose_their_last_slash() -> None:
    assert settings(monitor_url="http://monitor:8083/").monitor_url == "http://monitor:8083"


def test_a_wrong_setting_ends_the_process_with_one_line_that_names_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.dashboard"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "DASHBOARD_LANGUAGE": "fr"},
    )  # fmt: skip

    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert "DASHBOARD_LANGUAGE" in line
    assert "Traceback" not in done.stdout + done.stderr
