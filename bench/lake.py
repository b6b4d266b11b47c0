"""`python -m bench.lake`: what the lake's guarantees cost, beside the guide's straightforward code and a peer.

One Spark Connect server of the lab (1 GiB of heap, 2 cores), warm; the project's own steps from file to ledger, without
Prefect and Kafka around them. Keys of the last line:

- `gate_overhead_pct`: twelve rules on top of the same steps without rules, as a share of the Silver write (limit 15)
- `ratio_great_expectations_over_gate`: the same rules on the same frame (at least 5); absent without the peer
- `ratio_to_straightforward_1m`: file to Gold, beside append, overwrite, overwrite (at most 1.0)
- `per_row_ratio_10m_over_1m`: seconds per row of the large file, over those of the other (at most 1.1)
- `increment_cost_pct`: one per cent of new rows into the large lake, over loading all of it (at most 10)

`--rows` and `--large` take other sizes; the result file says which were measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import lake_data
from bench.harness import Spread, repeat, report
from bench.lake_peers import straightforward
from datalab.local.control import start_in_background, stop, wait_until_ready
from datalab.local.layout import LabLayout, cache_dir
from flows import medallion_etl_flow as etl
from flows.lake import books
from flows.lake.datasets import Dataset
from flows.lake.job import Job
from flows.lake.session import SparkConnection
from flows.lake.tables import Lake
from flows.trace import Trace

_PEER = "great_expectations==1.24.1"


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
    took: dict[str, float] = {}
    staged, appended = timed(took, "bronze_s", lambda: etl.ingest_bronze.fn(job, path))
    measured = timed(took, "quality_s", lambda: etl.check_quality.fn(job, staged, appended))
    _, found = timed(took, "silver_s", lambda: etl.update_silver.fn(job, staged, appended, measured))
    timed(took, "gold_s", lambda: etl.refresh_gold.fn(job, staged))
    entry = books.Entry(staged.ingest_id, staged.uri, staged.sha256, "bench", books.COMPLETE, job.with_rules, found)
    with job.spark.session(0) as spark:
        timed(took, "ledger_s", lambda: books.record(spark, job.table("ledger"), job.dataset, entry))
    return took


def timed(took: dict[str, float], name: str, do: Callable[[], Any]) -> Any:
    """What `do` answers; its seconds are noted."""
    started = time.perf_counter()
    answer = do()
    took[name] = time.perf_counter() - started
    return answer


def one_round(bench: Bench, path: Path) -> dict[str, float]:
    """The project with and without rules, and the peer twice: as it is written in the guide, and with a schema."""
    figures: dict[str, float] = {}
    job, bare = bench.job(lake_data.dataset()), bench.job(lake_data.dataset(), with_rules=False)
    ours = load(job, path)
    without = load(bare, path)
    with bench.spark.session() as spark:
        for name, infer in (("straightforward_s", True), ("straightforward_with_schema_s", False)):
            place = bench.home / name
            figures[name] = straightforward(spark, path, place, infer=infer)
            shutil.rmtree(place)
    bench.forget(job)
    bench.forget(bare)
    figures |= ours | {"ours_s": sum(ours.values()), "without_rules_s": sum(without.values())}
    written = without["silver_s"]
    figures["gate_overhead_pct"] = 100 * (figures["ours_s"] - figures["without_rules_s"]) / written
    figures["ratio_to_straightforward_1m"] = figures["ours_s"] / figures["straightforward_s"]
    figures["ratio_to_straightforward_with_schema"] = figures["ours_s"] / figures["straightforward_with_schema_s"]
    return figures


def large(bench: Bench, rows: int, small_rows: int, small_s: float) -> dict[str, float]:
    """A large file into an empty lake, then one per cent of new rows."""
    symbols = max(1, rows // lake_data.DAYS)
    job = bench.job(lake_data.dataset())
    whole = sum(load(job, bench.prices("large.csv", rows, symbols)).values())
    more = bench.prices("more.csv", rows // 100, symbols, first_day=lake_data.DAYS)
    increment = sum(load(job, more).values())
    bench.forget(job)
    return {
        "large_s": whole,
        "increment_s": increment,
        "per_row_ratio_10m_over_1m": (whole / rows) / (small_s / small_rows),
        "increment_cost_pct": 100 * increment / whole,
    }


def beside_the_peer(bench: Bench, path: Path) -> dict[str, Spread]:
    """Great Expectations and the gate on the typed rows of a file, as both would see them."""
    packages, frame = cache_dir() / "bench-great-expectations", bench.home / "frame.parquet"
    if not (packages / ".ready").exists():
        words = ["uv", "pip", "install", "-q", "--python", sys.executable, "--target", str(packages), _PEER]
        subprocess.run([sys.executable, "-m", *words], check=True)
        (packages / ".ready").touch()
    job = bench.job(lake_data.dataset())
    staged, appended = etl.ingest_bronze.fn(job, path)
    with bench.spark.session() as spark:
        judged = etl.judged_rows(job, spark, staged, appended)
        judged.select(*job.dataset.columns).write.parquet(str(frame))
    environ = {k: v for k, v in os.environ.items() if k != "SPARK_REMOTE"} | {"PYTHONPATH": str(packages)}
    answer = subprocess.run(
        [sys.executable, "-m", "bench.lake_expectations", str(frame)],
        env=environ, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    took = json.loads(answer.stdout.splitlines()[-1])
    ratios = [peer / ours for peer, ours in zip(took["great_expectations"], took["gate"], strict=True)]
    spreads = {f"{name}_rules_s": Spread(tuple(times)) for name, times in took.items()}
    return {**spreads, "ratio_great_expectations_over_gate": Spread(tuple(ratios))}


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


def main() -> None:
    """Measure, write the result, print the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the file (default: 1,000,000)")
    parser.add_argument("--large", type=int, default=10_000_000, help="rows of the large file; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=3, help="how often to measure (default: 3)")
    parser.add_argument("--no-peer", action="store_true", help="leave Great Expectations out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-lake-") as folder, spark_server(Path(folder)) as remote:
        spark = SparkConnection(remote=remote, master=None, wait_s=60, say=lambda line: None)
        bench = Bench(Path(folder), spark)
        path = bench.prices("prices.csv", given.rows, max(1, given.rows // lake_data.DAYS))
        one_round(bench, path)  # warm
        spreads = repeat(given.rounds, lambda _: one_round(bench, path))
        if given.large:
            figures = large(bench, given.large, given.rows, spreads["ours_s"].median)
            spreads |= {name: Spread((value,)) for name, value in figures.items()}
        if not given.no_peer:
            spreads |= beside_the_peer(bench, path)
        spark.close()
    wanted = ("gate_overhead_pct", "ratio_great_expectations_over_gate", "ratio_to_straightforward_1m",
              "per_row_ratio_10m_over_1m", "increment_cost_pct")  # fmt: skip
    sizes = {"rows": given.rows, "large_rows": given.large}
    report("lake", spreads, [key for key in wanted if key in spreads], sizes=sizes)


if __name__ == "__main__":
    main()
