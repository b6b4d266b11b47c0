"""Every fault of the notifier, on 1,000 alerts: `python -m tests.faults.notifier`, or `make faults-notify`.

Each scenario has a lab of its own. The last line is one JSON object: cases, alerts, lost, duplicated_ids (webhook-ids
and Message-IDs that a receiver saw more than once). A scenario that finds a fault ends the command with a traceback.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.faults.notifier.answers import odd_answers
from tests.faults.notifier.kills import Toll, killed_at_each_step
from tests.faults.notifier.lab import FaultLab, fault_lab
from tests.faults.notifier.mail import odd_mail_server
from tests.faults.notifier.outages import clock_is_wrong, restarted

SCENARIOS: dict[str, Callable[[FaultLab], Awaitable[Toll]]] = {
    "killed at each step": lambda lab: killed_at_each_step(lab, 1000),
    "odd answers": odd_answers,
    "odd mail server": odd_mail_server,
    "Postgres restarted": lambda lab: restarted(lab, "postgres", 1000),
    "Kafka restarted": lambda lab: restarted(lab, "kafka", 1000),
    "clock an hour ahead": lambda lab: clock_is_wrong(lab, 3600, 200),
    "clock an hour behind": lambda lab: clock_is_wrong(lab, -3600, 200),
}


async def _all() -> list[Toll]:
    tolls = []
    for name, scenario in SCENARIOS.items():
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="datalab-faults-") as home:
            async with fault_lab(Path(home)) as lab:
                tolls.append(await scenario(lab))
        said = ", ".join(f"{key} {value}" for key, value in tolls[-1]._asdict().items())
        print(f"{name}: {said} ({time.monotonic() - begun:.0f} s)", file=sys.stderr, flush=True)
    return tolls


def main() -> None:
    """Run all of them, and print the sums."""
    tolls = asyncio.run(_all())
    print(json.dumps({key: sum(getattr(toll, key) for toll in tolls) for key in Toll._fields}))


if __name__ == "__main__":
    main()
