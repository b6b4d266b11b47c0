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
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import lake_data
from bench.harness import Spread, repeat, report
from bench.lake_lab import Bench, load, say, spark_server
from bench.lake_peers import straightforward
from datalab.local.layout import cache_dir
from flows import medallion_tasks as etl
from flows.lake.session import SparkConnection

_PEER = ("great_expectations==1.24.1", "pandas<3")
# No round begins later than this; the whole, and the peer by itself, end with an error rather than never.
_ROUNDS_WITHIN_S, _PEER_WITHIN_S, _ALL_WITHIN_S = 240, 420, 1500


def one_round(bench: Bench, path: Path, number: int) -> dict[str, float]:
    """The project with and without rules, and the peer twice: as it is written in the guide, and with a schema.

    Every other round begins without rules: whoever comes second finds the other's garbage in the server's heap.
    """
    figures: dict[str, float] = {}
    job, bare = bench.job(lake_data.dataset()), bench.job(lake_data.dataset(), with_rules=False)
    took = {one.with_rules: load(one, path) for one in ((job, bare) if number % 2 else (bare, job))}
    ours, without = took[True], took[False]
    with bench.spark.session() as spark:
        for name, infer in (("straightforward_s", True), ("straightforward_with_schema_s", False)):
            place = bench.home / name
            figures[name] = straightforward(spark, path, place, infer=infer)
            say(f"{name} {figures[name]:.1f}")
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
        say(f"installing {_PEER[0]}, for this benchmark alone")
        words = ["uv", "pip", "install", "-q", "--python", sys.executable, "--target", str(packages), *_PEER]
        subprocess.run([sys.executable, "-m", *words], check=True, timeout=_PEER_WITHIN_S)
        (packages / ".ready").touch()
    job = bench.job(lake_data.dataset())
    staged, appended = etl.ingest_bronze.fn(job, path)
    with bench.spark.session() as spark:
        judged = etl.judged_rows(job, spark, staged, appended)
        judged.select(*job.dataset.columns).write.parquet(str(frame))
    say("Great Expectations beside the gate")
    environ = {k: v for k, v in os.environ.items() if k != "SPARK_REMOTE"} | {"PYTHONPATH": str(packages)}
    answer = subprocess.run(
        [sys.executable, "-m", "bench.lake_expectations", str(frame)],
        env=environ, capture_output=True, text=True, check=False, timeout=_PEER_WITHIN_S,
    )  # fmt: skip
    if answer.returncode:
        sys.exit(f"the peer failed: {answer.stderr[-3000:]}")
    took = json.loads(answer.stdout.splitlines()[-1])
    ratios = [peer / ours for peer, ours in zip(took["great_expectations"], took["gate"], strict=True)]
    spreads = {f"{name}_rules_s": Spread(tuple(times)) for name, times in took.items()}
    return {**spreads, "ratio_great_expectations_over_gate": Spread(tuple(ratios))}


def main() -> None:
    """Measure, write the result, print the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the file (default: 1,000,000)")
    parser.add_argument("--large", type=int, default=10_000_000, help="rows of the large file; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=6, help="how often to measure (default: 6)")
    parser.add_argument("--no-peer", action="store_true", help="leave Great Expectations out")
    given = parser.parse_args()
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"not done within {_ALL_WITHIN_S} s"))
    signal.alarm(_ALL_WITHIN_S)
    with tempfile.TemporaryDirectory(prefix="bench-lake-") as folder, spark_server(Path(folder)) as remote:
        spark = SparkConnection(remote=remote, master=None, wait_s=60, say=lambda line: None)
        bench = Bench(Path(folder), spark)
        path = bench.prices("prices.csv", given.rows, max(1, given.rows // lake_data.DAYS))
        say("once, to warm up")
        one_round(bench, path, 0)
        spreads = repeat(given.rounds, lambda number: one_round(bench, path, number), within_s=_ROUNDS_WITHIN_S)
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
