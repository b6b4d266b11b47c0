"""Every fault of the monitor, on one lab: `python -m tests.faults.monitor`, or `make faults-monitor`.

Prints a table and, last, one JSON object: cases (things done to it), events, missed, doubled; see `lab.Toll`. Writes
`bench/results/faults-monitor.json`. Ends with 1 if an alert is missed or doubled. `--only NAME` runs some.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.harness import RESULTS, machine
from tests.faults.monitor import cases
from tests.faults.monitor.lab import MonitorLab, Toll, monitor_lab

Case = Callable[[MonitorLab], Awaitable[Toll]]
CASES: dict[str, Case] = {
    "killed at each step": lambda lab: cases.killed_at_each_step(lab, 50),
    "late, out of order, twice, from the future": lambda lab: cases.at_odd_times(lab, 30),
    "flaps each 2 s for 10 minutes": cases.flaps,
    "Kafka is away while alerts resolve": lambda lab: cases.resolved_without_kafka(lab, 20),
    "the clock is set back by an hour": lambda lab: cases.clock_set_back(lab, 20),
    "the broker is killed": lambda lab: cases.broker_restarted(lab, 100),
    "20 rebalances": lambda lab: cases.rebalanced(lab, 20, 20),
}


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    only = parser.parse_args().only
    found = asyncio.run(_all({name: case for name, case in CASES.items() if only in name}))
    _report(found)
    return 1 if any(case["missed"] or case["doubled"] for case in found) else 0


async def _all(chosen: dict[str, Case]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="datalab-faults-") as home:
        async with monitor_lab(Path(home)) as lab:
            for name, case in chosen.items():
                begun = time.monotonic()
                toll = await case(lab)
                found.append({"case": name, **toll._asdict(), "seconds": round(time.monotonic() - begun)})
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    return found


def _report(found: list[dict[str, Any]]) -> None:
    for case in found:
        figures = "".join(f"{case[key]:>7} {key}" for key in (*Toll._fields, "seconds"))
        print(f"{case['case']:<44}{figures}")
    result = {"taken_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "cases": found}
    (RESULTS / "faults-monitor.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps({key: sum(case[key] for case in found) for key in ("cases", "events", "missed", "doubled")}))


if __name__ == "__main__":
    sys.exit(main())
