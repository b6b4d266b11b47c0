"""kill -9 of the run, and of Spark, after each commit of an ingestion, then a retry: the tables are, row by row, those
of a run that nobody disturbed. Some minutes, so that only `make faults-lake` asks for it; `make test` has a part of it
in test_medallion_repeats.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from datalab.local.control import running
from datalab.local.layout import LabLayout
from datalab.local.state import LabState
from datalab.runtime.settings import PROJECT_ROOT
from flows.medallion_etl_flow import medallion_etl_pipeline
from tests.integration.flows.commits import COMMITS
from tests.integration.flows.conftest import LakeView

_KILLED = """
import os, signal, sys
from importlib import import_module
from flows.medallion_etl_flow import medallion_etl_pipeline
module, name, path = sys.argv[1:]
step = getattr(import_module(module), name)
def killed(*arguments, **options):
    step(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(import_module(module), name, killed)
medallion_etl_pipeline(path, min_rows_threshold=1)
"""
_RUN_S = 200
at_each_commit = pytest.mark.parametrize(("module", "name"), COMMITS, ids=[f"{m.__name__}.{n}" for m, n in COMMITS])
Content = dict[str, list[str]]
# By file: it costs a run, and is the same for each commit.
_undisturbed: dict[Path, Content] = {}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, mixed_csv: str) -> Path:
    """One for all: its place is a part of what an ingestion is known by."""
    path = tmp_path_factory.mktemp("landing") / "stocks.csv"
    path.write_text(mixed_csv)
    return path


@pytest.fixture
def undisturbed(lake: LakeView, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Content:
    """What one run of the file leaves, in a lake of its own."""
    if file not in _undisturbed:
        other = LakeView(tmp_path / "undisturbed", lake.landing)
        with monkeypatch.context() as patch:
            patch.setenv("LAKE_ROOT", str(other.root))
            medallion_etl_pipeline(str(file), min_rows_threshold=1)
        _undisturbed[file] = other.content()
    return _undisturbed[file]


@at_each_commit
def test_a_run_that_is_killed_after_a_commit_and_retried_leaves_what_one_run_leaves(
    lake: LakeView, file: Path, undisturbed: Content, prefect_api_url: str, module: ModuleType, name: str
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, module.__name__, name, str(file)],
        cwd=PROJECT_ROOT, env={**os.environ, "PREFECT_API_URL": prefect_api_url},
        capture_output=True, text=True, timeout=_RUN_S, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    medallion_etl_pipeline(str(file), min_rows_threshold=1)
    assert lake.content() == undisturbed


@at_each_commit
def test_spark_that_is_killed_after_a_commit_costs_the_run_time_and_nothing_else(
    lake: LakeView,
    file: Path,
    undisturbed: Content,
    spark_lab: LabState,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
) -> None:
    monkeypatch.setattr(module, name, killing_spark(getattr(module, name), spark_lab))
    medallion_etl_pipeline(str(file), min_rows_threshold=1)
    assert lake.content() == undisturbed


def killing_spark(step: Callable[..., Any], spark_lab: LabState) -> Callable[..., Any]:
    """The step, after which Spark is gone; once."""
    left = iter([True])

    def run(*arguments: Any, **options: Any) -> Any:
        done = step(*arguments, **options)
        if next(left, False):
            lab = running(LabLayout.at(Path(spark_lab.home)))
            assert lab is not None
            os.kill(lab.parts["spark"].pid, signal.SIGKILL)
        return done

    return run
