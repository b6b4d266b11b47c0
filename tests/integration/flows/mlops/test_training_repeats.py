"""Runs that end anywhere and run again: one version, one decision."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import mlflow
import pytest

from datalab.runtime.settings import PROJECT_ROOT
from flows.ml import experiment, registry
from flows.ml.errors import ModelError
from flows.mlops_flow import mlops_training_pipeline
from tests.integration.flows.mlops.conftest import Bench
from tests.support.monthly_gold import (
    invented_gold,
    write_gold,
)
from tests.support.processes import free_port


class RunEndedError(ModelError):
    """Stands for the end of the process: no task retries it."""


def ends(step: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    def run(*arguments: Any, **options: Any) -> Any:
        if after:
            step(*arguments, **options)
        raise RunEndedError(f"ended at {getattr(step, '__name__', step)}")

    return run


STEPS: list[tuple[Any, str, bool]] = [
    (mlflow, "start_run", False),
    (experiment, "log_model", False),
    (experiment.Experiment, "record", True),
    (registry.Registry, "register", True),
    (registry.Registry, "decide", False),
    (registry.Registry, "decide", True),
    (registry.Registry, "settle", False),
    (experiment.Experiment, "finish", False),
]


async def test_runs_that_end_anywhere_and_one_that_does_not_leave_one_version_and_one_decision(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gold(bench.lake, invented_gold(lambda _: -0.9))
    for owner, name, after in STEPS:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, ends(getattr(owner, name), after=after))
            with pytest.raises(RunEndedError, match=name):
                mlops_training_pipeline(min_new_rows=50)
    summary = mlops_training_pipeline(min_new_rows=50)
    assert (summary["version"], summary["promoted"], summary["champion"]) == ("1", True, "1")
    assert "becomes the first champion" in summary["decision"]
    assert [run.info.status for run in bench.runs()] == ["FINISHED"]
    assert sorted(run.data.tags["datalab.candidate"] for run in bench.runs("candidate")) == sorted(
        contender["name"] for contender in summary["leaderboard"]
    )
    assert {run.info.status for run in bench.runs("candidate")} == {"FINISHED"}
    assert len(bench.runs("candidate", everywhere=True)) > len(bench.runs("candidate"))  # half-written ones are removed
    assert len(bench.versions()) == 1
    ids = {(event.type, event.id) for event in await bench.events() if "entity" not in event.data}
    assert sorted(type_ for type_, _ in ids) == ["lab.model.promoted.v1", "lab.model.registered.v1"]
    assert not mlops_training_pipeline(min_new_rows=50)["train"]


KILLED = """
import os
from flows.ml.registry import Registry
from flows.mlops_flow import mlops_training_pipeline
Registry.decide = lambda *_: os._exit(9)
mlops_training_pipeline()
"""


def status_of(code: str, environ: dict[str, str]) -> int:
    """How a Python process with this code ends."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=PROJECT_ROOT, env={**os.environ, **environ}, timeout=250, check=False).returncode


async def test_a_process_that_is_killed_between_register_and_alias_costs_no_second_version(
    bench: Bench, prefect_api_url: str
) -> None:
    write_gold(bench.lake, invented_gold(lambda _: -0.9))
    assert status_of(KILLED, {"PREFECT_API_URL": prefect_api_url}) == 9
    assert [version.version for version in bench.versions()] == ["1"]
    assert bench.alias("champion") is None
    summary = mlops_training_pipeline(min_new_rows=50)
    assert "was interrupted and goes on" in summary["reason"]
    assert [version.version for version in bench.versions()] == ["1"]
    assert bench.alias("champion") == summary["champion"] == "1"


async def test_an_answer_that_is_lost_is_asked_for_again_within_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_once(step: Callable[..., Any]) -> Callable[..., Any]:
        failures = iter([True])

        def run(*arguments: Any, **options: Any) -> Any:
            answer = step(*arguments, **options)
            if next(failures, False):
                raise ConnectionError("the answer was lost")
            return answer

        return run

    write_gold(bench.lake, invented_gold(lambda _: -0.9))
    for owner, name in (
        (experiment.Experiment, "record"),
        (registry.Registry, "register"),
        (registry.Registry, "decide"),
    ):
        monkeypatch.setattr(owner, name, fails_once(getattr(owner, name)))
    assert mlops_training_pipeline()["champion"] == "1"
    assert (len(bench.versions()), len(bench.runs("candidate"))) == (1, 6)


async def test_no_kafka_fails_the_run_and_the_next_one_announces(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gold(bench.lake, invented_gold(lambda _: -0.9))
    with monkeypatch.context() as patch:
        patch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
        with pytest.raises(ConnectionError, match="no Kafka broker answers"):
            mlops_training_pipeline()
    assert await bench.events() == []
    mlops_training_pipeline(min_new_rows=50)
    types = Counter(event.type for event in await bench.events())
    assert types["lab.model.registered.v1"] == types["lab.model.promoted.v1"] == 1
    assert len(bench.versions()) == 1
