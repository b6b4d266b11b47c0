"""What every benchmark shares: repeating, the spread, the machine, the result file and the last line.

A benchmark measures; it never judges. `python -m bench.NAME` writes `bench/results/NAME.json` and prints, as its
last line, one JSON object with the keys that its documentation names.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing, in the unit its name ends with."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.values)

    def as_dict(self) -> dict[str, Any]:
        """Median, extremes and every value."""
        return {"median": self.median, "min": min(self.values), "max": max(self.values), "values": list(self.values)}

    def __str__(self) -> str:
        return f"{self.median:9.2f}  ({min(self.values):.2f} to {max(self.values):.2f}, n={len(self.values)})"


def repeat(times: int, once: Callable[[int], Mapping[str, float]], *, within_s: float = math.inf) -> dict[str, Spread]:
    """Measure `times` times; `once` is given the number of the round (0, 1, …) and returns named figures.

    Peer and project are measured inside one round, so that a drift of the machine meets both. No round but the first
    begins after `within_s`.
    """
    begun = time.monotonic()
    rounds: list[Mapping[str, float]] = []
    for number in range(times):
        if rounds and time.monotonic() - begun > within_s:
            print(f"no more rounds after {within_s:g} s", file=sys.stderr, flush=True)
            break
        rounds.append(once(number))
        said = ", ".join(f"{name} {value:.2f}" for name, value in rounds[-1].items())
        print(f"round {number + 1}/{times}: {said}", file=sys.stderr, flush=True)
    return {name: Spread(tuple(figures[name] for figures in rounds)) for name in rounds[0]}


def report(name: str, spreads: Mapping[str, Spread], keys: Sequence[str], **more: Any) -> None:
    """Write the result file, print the table, and print the last line with the medians of `keys`."""
    RESULTS.mkdir(exist_ok=True)
    result = {
        "benchmark": name,
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "figures": {figure: spread.as_dict() for figure, spread in spreads.items()},
        **more,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    for figure, spread in spreads.items():
        print(f"{figure:<28} {spread}")
    print(json.dumps({key: round(spreads[key].median, 3) for key in keys}))


def machine() -> dict[str, Any]:
    """What the figures were taken on. No names, no addresses."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }
