"""Ingest over HTTP: single events and batches of 500, of 1 KiB, acknowledged by all replicas, on one core for ingest.

The peer in the same run is aiokafka's producer by itself, on that same core, with the same settings and records. The
sender and the broker share the other core. Keys: single_events_per_s, single_p99_ms, batch_events_per_s,
ratio_batch_vs_bare_producer, files_10k_s (bench.files), validation_us (bench.validation).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from bench import files, validation
from bench.harness import repeat, report
from datalab.local.state import LabState
from tests.support.lab_parts import lab_parts

KEYS = (
    "single_events_per_s",
    "single_p99_ms",
    "batch_events_per_s",
    "ratio_batch_vs_bare_producer",
    "files_10k_s",
    "validation_us",
)
_INGEST_CORE, _OTHER_CORE = 0, 1
_CONNECTIONS, _BATCH_CONNECTIONS, _BATCH = 64, 4, 500


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each part of a round")
    parser.add_argument("--http-only", action="store_true", help="leave out files and validation")
    given = parser.parse_args()

    def once(_: int) -> Mapping[str, float]:
        figures = http_figures(given.seconds)
        return figures if given.http_only else {**figures, **files.measure(), **validation.measure()}

    spreads = repeat(given.repeats, once)
    report("ingest", spreads, [key for key in KEYS if key in spreads])


def http_figures(seconds: float) -> dict[str, float]:
    """One round, on a lab of its own: single events, batches, and the producer by itself."""
    ports = {"INGEST_PORT": str(random.randrange(20_000, 30_000))}
    with tempfile.TemporaryDirectory(prefix="datalab-bench-") as home, lab_parts(Path(home), ["ingest"], ports) as lab:
        _pin(lab, "ingest", _INGEST_CORE)
        _pin(lab, "kafka", _OTHER_CORE)
        ingest, kafka = str(lab.parts["ingest"].url).rpartition(":")[2], lab.parts["kafka"].ports["kafka"]
        _run(_OTHER_CORE, "bench.http_load", ingest, _CONNECTIONS, 3, 1)  # the broker's first seconds are slow
        process = psutil.Process(lab.parts["ingest"].pid)
        cpu = [_cpu_s(process)]
        single = _run(_OTHER_CORE, "bench.http_load", ingest, _CONNECTIONS, seconds, 1)
        cpu.append(_cpu_s(process))
        batch = _run(_OTHER_CORE, "bench.http_load", ingest, _BATCH_CONNECTIONS, seconds, _BATCH)
        cpu.append(_cpu_s(process))
        bare = _run(_INGEST_CORE, "bench.bare_producer", f"127.0.0.1:{kafka}", seconds)
    return {
        "single_events_per_s": single["events_per_s"],
        "single_p50_ms": single["p50_ms"],
        "single_p99_ms": single["p99_ms"],
        "batch_events_per_s": batch["events_per_s"],
        "batch_p99_ms": batch["p99_ms"],
        "bare_producer_events_per_s": bare["events_per_s"],
        "ratio_batch_vs_bare_producer": batch["events_per_s"] / bare["events_per_s"],
        # What the core gives when nobody else wants it; other work on the machine does not change these much.
        "single_cpu_us_per_event": (cpu[1] - cpu[0]) * 1e6 / (single["events_per_s"] * seconds),
        "batch_cpu_us_per_event": (cpu[2] - cpu[1]) * 1e6 / (batch["events_per_s"] * seconds),
        "bare_producer_cpu_us_per_event": bare["cpu_us_per_event"],
        "refused": single["refused"] + batch["refused"],
        "sender_core_share": single["own_cpu_share"],
    }


def _run(core: int, module: str, *arguments: object) -> dict[str, Any]:
    """The last line of a program on one core, as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True, text=True, check=False, preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{module} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _pin(lab: LabState, part: str, core: int) -> None:
    """Hold every thread of a part to one core."""
    for thread in Path(f"/proc/{lab.parts[part].pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


if __name__ == "__main__":
    main()
