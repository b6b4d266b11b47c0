"""How long the lab takes to start, what it weighs when idle, and how long the demonstration takes.

The limit in the same run is the processors: seconds of processor time that the machine spent until the lab was
ready, divided by its cores. No start can be faster than that without doing less work.
Keys: up_first_s (new state directory), up_second_s (same directory again), idle_memory_mib, demo_s.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from bench.harness import repeat, report

KEYS = ("up_first_s", "up_second_s", "idle_memory_mib", "demo_s")
_SETTLE_S = 20  # idle means: after the work of the start and of the demonstration has ended


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parts: list[dict[str, Any]] = []
    spreads = repeat(parser.parse_args().repeats, lambda _: once(parts))
    report("start", spreads, KEYS, parts_of_each_round=parts)


def once(parts: list[dict[str, Any]]) -> Mapping[str, float]:
    """One lab from nothing to nothing, in a state directory of its own."""
    with tempfile.TemporaryDirectory(prefix="datalab-bench-") as home:
        environment = {**os.environ, "DATALAB_HOME": str(Path(home) / "lab")}
        try:
            first, first_limit = _up(environment)
            first_parts = _status(environment)
            demo = _timed(environment, "demo", "--json")
            time.sleep(_SETTLE_S)  # idleness is what is measured next; there is nothing to wait for
            idle = _status(environment)
            _timed(environment, "down")
            second, second_limit = _up(environment)
            parts.append({"first": first_parts, "idle": idle, "second": _status(environment)})
        finally:
            _timed(environment, "down")
    memory = sum(part["memory_mib"] for part in idle.values())
    return {
        "up_first_s": first,
        "up_first_limit_s": first_limit,
        "up_second_s": second,
        "up_second_limit_s": second_limit,
        "idle_memory_mib": memory,
        "demo_s": demo,
    }


def _up(environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds until ready, and the processors' share of them: busy seconds of all cores divided by the cores."""
    before = psutil.cpu_times()
    seconds = _timed(environment, "up", "--detach")
    after = psutil.cpu_times()
    busy = sum(after) - sum(before) - (after.idle - before.idle) - (after.iowait - before.iowait)
    return seconds, busy / (os.cpu_count() or 1)


def _timed(environment: Mapping[str, str], *arguments: str) -> float:
    started = time.monotonic()
    command = [sys.executable, "-m", "datalab.cli.main", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"datalab {' '.join(arguments)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return time.monotonic() - started


def _status(environment: Mapping[str, str]) -> dict[str, Any]:
    """Per part: seconds its start took, and its memory with that of its children, in MiB."""
    done = subprocess.run(
        [sys.executable, "-m", "datalab.cli.main", "status", "--json"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {
        part["name"]: {"start_s": part["start_s"], "memory_mib": part["memory_mib"]}
        for part in json.loads(done.stdout)["parts"]
    }


if __name__ == "__main__":
    main()
