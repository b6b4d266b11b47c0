"""From event to running flow, and from file to Gold, beside the stock process worker with a Spark session for each run.

Both are measured in one lab, one after the other. An event's time is taken before it is sent to Kafka, a run's in the
first line of its flow, a file's at the rename that completes it, and Gold's when every Gold table has a new version.
Keys: event_to_running_p50_s and _p95_s (2 events/s), ratio_vs_process_worker, burst20_p95_s (20 events at once),
file_to_gold_p50_s (3,000 rows), ratio_vs_stock_file_to_gold. Beside them, what the events did to the warm parent.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from bench.harness import repeat, report
from bench.starts_lab import BenchLab, bench_lab, until
from datalab.bus.publisher import Publisher
from datalab.local.demo.samples import real_prices
from schemas.envelope import Event, new_event
from schemas.files import FileArrived

KEYS = (
    "event_to_running_p50_s", "event_to_running_p95_s", "ratio_vs_process_worker",
    "file_to_gold_p50_s", "ratio_vs_stock_file_to_gold", "burst20_p95_s",
)  # fmt: skip
_PER_SECOND, _BURST, _ROWS = 2.0, 20, 3000
_PATIENCE_S = 180.0


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--events", type=int, default=100, help="for the warm worker, at 2/s")
    parser.add_argument("--stock-events", type=int, default=5, help="for the stock worker, one after the other")
    parser.add_argument("--files", type=int, default=15)
    parser.add_argument("--stock-files", type=int, default=2)
    options = parser.parse_args()
    details: list[Any] = []
    report("starts", repeat(options.repeats, lambda _: once(options, details)), KEYS, rounds=details)


def once(options: argparse.Namespace, details: list[dict[str, Any]]) -> Mapping[str, float]:
    """One lab from nothing to nothing."""
    with tempfile.TemporaryDirectory(prefix="datalab-bench-") as home, bench_lab(Path(home)) as lab:
        _events(lab, "warm", 2, every_s=3)  # the worker learns of the probe and imports it
        before = _parent(lab)
        warm = _events(lab, "warm", options.events, every_s=1 / _PER_SECOND)
        burst = _events(lab, "warm", _BURST, every_s=0)
        after = _parent(lab)
        stock = [_events(lab, "stock", 1, every_s=0)[0] for _ in range(options.stock_events)]
        _files(lab, "warm", 1, start=0)  # creates the tables and warms the shared Spark server up
        gold = _files(lab, "warm", options.files, start=1)
        stock_gold = _files(lab, "stock", options.stock_files, start=100)
    details.append({"events_s": warm, "burst_s": burst, "stock_events_s": stock, "files_s": gold,
                    "stock_files_s": stock_gold, "parent_before": before, "parent_after": after})  # fmt: skip
    p50, stock_p50 = statistics.median(warm), statistics.median(stock)
    gold_p50, stock_gold_p50 = statistics.median(gold), statistics.median(stock_gold)
    return {
        "event_to_running_p50_s": p50,
        "event_to_running_p95_s": _p95(warm),
        "stock_event_to_running_p50_s": stock_p50,
        "ratio_vs_process_worker": stock_p50 / p50,
        "burst20_p95_s": _p95(burst),
        "file_to_gold_p50_s": gold_p50,
        "stock_file_to_gold_p50_s": stock_gold_p50,
        "ratio_vs_stock_file_to_gold": stock_gold_p50 / gold_p50,
        "parent_growth_percent": 100 * (after["memory_mib"] / before["memory_mib"] - 1),
        "parent_more_descriptors": after["descriptors"] - before["descriptors"],
    }


def _events(lab: BenchLab, kind: str, count: int, *, every_s: float) -> list[float]:
    """Publish events, one each `every_s`, and return the seconds until each one's flow ran. None may be lost."""
    sent = asyncio.run(_publish(lab.addresses.kafka, kind, count, every_s))
    until(lambda: sent.keys() <= lab.told().keys(), _PATIENCE_S, f"{count} {kind} events: all flows running")
    told = lab.told()
    if twice := [key for key in sent if len(told[key]) > 1]:
        sys.exit(f"more than one run for {twice}")
    return [told[key][0] - at for key, at in sent.items()]


async def _publish(kafka: str, kind: str, count: int, every_s: float) -> dict[str, float]:
    sent: dict[str, float] = {}
    async with Publisher(kafka, "bench.starts") as publisher:
        await publisher.publish(_event("warm-up"))  # opens the connection; no rule wants it
        for number in range(count):
            due = time.monotonic() + every_s
            event = _event(f"{kind}-{uuid.uuid4().hex}")
            sent[event.data["name"]] = time.time()
            await publisher.publish(event)
            if number + 1 < count:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
    return sent


def _event(name: str) -> Event:
    arrived = FileArrived(
        uri=f"file:///none/{name}", path=f"/none/{name}", name=name, dataset="probe", format="csv", size_bytes=1,
        sha256=hashlib.sha256(name.encode()).hexdigest(), modified_at=datetime.now(UTC),
    )  # fmt: skip
    return new_event(arrived, source="/bench/starts")


def _files(lab: BenchLab, kind: str, count: int, *, start: int) -> list[float]:
    """Drop files one after the other and return the seconds until Gold had each."""
    header, *rows = real_prices().content.decode().splitlines()
    seconds = []
    for number in range(start, start + count):
        folder = lab.addresses.landing / "stocks"
        folder.mkdir(parents=True, exist_ok=True)
        incomplete = folder.parent / f".{kind}-{number}"
        incomplete.write_text("\n".join([header, *rows[number * 37 : number * 37 + _ROWS]]) + "\n", "utf-8")
        version = _gold_version(lab)
        started = time.monotonic()
        incomplete.rename(folder / f"{kind}-{number}.csv")
        until(partial(_newer_gold, lab, version), _PATIENCE_S, f"{kind} file {number} in Gold")
        seconds.append(time.monotonic() - started)
        _wait_until_idle(lab)
    return seconds


def _newer_gold(lab: BenchLab, than: int) -> bool:
    return _gold_version(lab) > than


def _gold_version(lab: BenchLab) -> int:
    table = f"{lab.addresses.lake}/gold/stocks_monthly"
    return DeltaTable(table).version() if DeltaTable.is_deltatable(table) else -1


def _wait_until_idle(lab: BenchLab) -> None:
    """Let the run behind a file end, so that the next file meets an idle lab."""
    import httpx

    busy = {"flow_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING"]}}}}
    with httpx.Client(base_url=lab.addresses.prefect_api, timeout=30, trust_env=False) as api:
        until(lambda: api.post("/flow_runs/count", json=busy).json() == 0, _PATIENCE_S, "an idle lab", every_s=0.2)


def _parent(lab: BenchLab) -> dict[str, float]:
    process = lab.parents()[0]
    until(lambda: not process.children(), _PATIENCE_S, "the end of all runs", every_s=0.2)
    return {"memory_mib": process.memory_full_info().uss / 2**20, "descriptors": process.num_fds(), "pid": process.pid}


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


if __name__ == "__main__":
    main()
