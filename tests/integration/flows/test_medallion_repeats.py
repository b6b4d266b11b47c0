"""Runs that end at any step and run again, and a Spark server that dies: the tables are those of one good run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from datalab.local.control import running
from datalab.local.layout import LabLayout
from datalab.local.state import LabState
from flows.lake import quality
from flows.lake.errors import LakeError
from flows.medallion_etl_flow import medallion_etl_pipeline
from tests.integration.flows.commits import COMMITS
from tests.integration.flows.conftest import LakeView


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
    lab = running(LabLayout.at(Path(spark_lab.home)))  # another test may have killed the server that it began with
    assert lab is not None
    measure, victims = quality.measure, iter([lab.parts["spark"].pid])

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


def test_runs_of_one_dataset_at_once_take_turns_and_load_each_file_once(
    lake: LakeView, few_stocks: Callable[..., str]
) -> None:
    first, second = (lake.put(f"{start}.csv", few_stocks(start, 30)) for start in (0, 20))
    with ThreadPoolExecutor(3) as pool:
        # Prefect's settings of a test are in its context.
        runs = [
            pool.submit(copy_context().run, medallion_etl_pipeline, str(path), min_rows_threshold=1)
            for path in (first, second, first)
        ]
        silver = [run.result()["books"]["silver"] for run in runs]
    assert silver == [30, 30, 30]
    counts = {name: len(lake.rows(f"{name}/stocks")) for name in ("bronze", "silver", "ledger")}
    assert counts == {"bronze": 60, "silver": 50, "ledger": 2}
    by_month = {(row["symbol"], row["month"]): row["trading_days"] for row in lake.rows("gold/stocks_monthly")}
    assert sum(by_month.values()) == 50
