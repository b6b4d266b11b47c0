"""Where `bench.lake` measures: a Spark Connect server, lakes, files, and the steps of the flow with their seconds."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import lake_data
from datalab.local.control import start_in_background, stop, wait_until_ready
from datalab.local.layout import LabLayout
from flows import medallion_tasks as etl
from flows.lake import books
from flows.lake.datasets import Dataset
from flows.lake.job import Job
from flows.lake.session import SparkConnection
from flows.lake.tables import Lake
from flows.trace import Trace

_BEGUN = time.monotonic()


class Bench:
    """A Spark session, places for lakes, and the files that go into them."""

    def __init__(self, home: Path, spark: SparkConnection) -> None:
        self.home, self.spark, self._lakes = home, spark, 0

    def job(self, dataset: Dataset, *, with_rules: bool = True) -> Job:
        """A new, empty lake."""
        self._lakes += 1
        lake = Lake(str(self.home / f"lake-{self._lakes}"), self.home / "home")
        return Job(dataset, lake, self.spark, Trace("bench"), kafka="", with_rules=with_rules, min_rows=1)

    def prices(self, name: str, rows: int, symbols: int, first_day: int = 0) -> Path:
        return lake_data.write_prices(self.home / "landing" / name, rows, symbols=symbols, first_day=first_day)

    def forget(self, job: Job) -> None:
        shutil.rmtree(job.lake.root, ignore_errors=True)


def load(job: Job, path: Path) -> dict[str, float]:
    """The flow's steps from file to ledger; seconds of each."""
    say(f"{path.name}, {'with' if job.with_rules else 'without'} rules, into {Path(job.lake.root).name}")
    took: dict[str, float] = {}
    staged, appended = timed(took, "bronze_s", lambda: etl.ingest_bronze.fn(job, path))
    measured = timed(took, "quality_s", lambda: etl.check_quality.fn(job, staged, appended))
    _, found = timed(took, "silver_s", lambda: etl.update_silver.fn(job, staged, appended, measured))
    timed(took, "gold_s", lambda: etl.refresh_gold.fn(job, staged))
    entry = books.Entry(staged.ingest_id, staged.uri, staged.sha256, "bench", books.COMPLETE, job.with_rules, found)
    with job.spark.session(0) as spark:
        timed(took, "ledger_s", lambda: books.record(spark, job.table("ledger"), job.dataset, entry))
    say(", ".join(f"{name} {seconds:.1f}" for name, seconds in took.items()))
    return took


def say(line: str) -> None:
    """Progress, apart from the result."""
    print(f"{time.monotonic() - _BEGUN:6.0f} s  {line}", file=sys.stderr, flush=True)


def timed(took: dict[str, float], name: str, do: Callable[[], Any]) -> Any:
    """What `do` answers; its seconds are noted."""
    started = time.perf_counter()
    answer = do()
    took[name] = time.perf_counter() - started
    return answer


@contextmanager
def spark_server(home: Path) -> Iterator[str]:
    """The lab's own Spark Connect server."""
    layout = LabLayout.at(home / "lab")
    environ = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    supervisor = start_in_background(layout, ["spark"], environ=environ, tied_to_us=True)
    try:
        state = wait_until_ready(layout, supervisor, seconds=120)
        yield f"sc://127.0.0.1:{state.parts['spark'].ports['spark']}"
    finally:
        stop(layout)
        supervisor.communicate(timeout=30)
