"""Runs that end at any step and run again, and a Spark server that dies: the tables are those of one good run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from datalab.local.state import LabState
from flows.lake import books, bronze, gold, quality, quarantine, results, silver
from flows.lake.errors import LakeError
from flows.medallion_etl_flow import medallion_etl_pipeline
from tests.integration.flows.conftest import LakeView

COMMITS: list[tuple[ModuleType, str]] = [
    (bronze, "append_file"),
    (quarantine, "put"),
    (silver, "merge_accepted"),
    (gold, "refresh"),
    (results, "record"),
    (books, "record"),
]


class RunEndedError(LakeError):
    """Stands for the end of the process: no task retries it."""


def _ends_after(step: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any, **options: Any) -> Any:
        step(*arguments, **options)
        raise RunEndedError(f"ended after {step.__name__}")

    return run


def _fails_once(step: Callable[..., Any]) -> Callable[..., Any]:
    failures = iter([True])

    def run(*arguments: Any, **options: Any) -> Any:
        answer = step(*arguments, **options)
        if next(failures, False):
            raise ConnectionError("the answer was lost")
        return answer

    return run


@pytest.fixture
def mixed_csv(few_stocks: Callable[..., str]) -> str:
    """Good rows, a broken one and a repeated key."""
    good = few_stocks(0, 40)
    return good + good.splitlines()[5] + "\nIBM,,1,1,1,1,1,1\n"


def test_a_run_that_ends_after_any_commit_and_runs_again_leaves_what_one_run_leaves(
    lake: LakeView, mixed_csv: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lake.put("mixed.csv", mixed_csv)
    # What a first write that was killed before its commit leaves behind.
    leftover = lake.root / "silver" / "stocks" / "year=2000" / "part-00000-killed.snappy.parquet"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    for module, name in COMMITS:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, _ends_after(getattr(module, name)))
            with pytest.raises(RunEndedError, match=name):
                medallion_etl_pipeline(str(path), min_rows_threshold=1)
    expected = {"rows_in": 42, "silver": 40, "quarantined": 1, "dropped": 0, "duplicates": 1}
    assert medallion_etl_pipeline(str(path), min_rows_threshold=1)["books"] == expected
    assert {name: len(rows) for name, rows in lake.content().items()} == {
        "bronze/stocks": 42,
        "silver/stocks": 40,
        "quarantine/stocks": 1,
        "gold/stocks_monthly": 2,
        "quality/stocks": 20,
        "ledger/stocks": 1,
    }
    before = lake.content()
    assert medallion_etl_pipeline(str(lake.landing))["files"] == []
    assert lake.content() == before


def test_an_answer_that_is_lost_after_each_commit_is_retried_within_the_run(
    lake: LakeView, mixed_csv: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lake.put("mixed.csv", mixed_csv)
    for module, name in COMMITS:
        monkeypatch.setattr(module, name, _fails_once(getattr(module, name)))
    summary = medallion_etl_pipeline(str(path), min_rows_threshold=1)
    assert summary["books"] == {"rows_in": 42, "silver": 40, "quarantined": 1, "dropped": 0, "duplicates": 1}
    assert {name: len(rows) for name, rows in lake.content().items()} == {
        "bronze/stocks": 42,
        "silver/stocks": 40,
        "quarantine/stocks": 1,
        "gold/stocks_monthly": 2,
        "quality/stocks": 20,
        "ledger/stocks": 1,
    }


def test_a_spark_server_that_is_killed_in_the_middle_costs_time_and_nothing_else(
    lake: LakeView, mixed_csv: str, monkeypatch: pytest.MonkeyPatch, spark_lab: LabState
) -> None:
    path = lake.put("mixed.csv", mixed_csv)
    measure, victims = quality.measure, iter([spark_lab.parts["spark"].pid])

    def kill_spark_then_measure(*arguments: Any, **options: Any) -> Any:
        victim = next(victims, None)
        if victim is not None:
            os.kill(victim, signal.SIGKILL)
        return measure(*arguments, **options)

    monkeypatch.setattr(quality, "measure", kill_spark_then_measure)
    summary = medallion_etl_pipeline(str(path), min_rows_threshold=1)
    assert next(victims, None) is None
    assert summary["books"] == {"rows_in": 42, "silver": 40, "quarantined": 1, "dropped": 0, "duplicates": 1}
    assert len(lake.rows("bronze/stocks")) == 42
