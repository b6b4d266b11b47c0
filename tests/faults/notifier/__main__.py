"""Every fault of the notifier: `python -m tests.faults.notifier [--only NAME …]`, or `make faults-notify`.

Each scenario has a lab of its own. Printed are a table with a row for each case, and as the last line one JSON object:
cases, alerts, lost, duplicated_ids (webhook-ids, Message-IDs and keys that a receiver got again after it had taken
them), failed (scenarios that found something else than what must hold; their tracebacks are above). It ends with 1
unless nothing was lost and nothing failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.faults.notifier.bundled import killed_with_bundles
from tests.faults.notifier.inside import led_inside
from tests.faults.notifier.kills import killed_at_each_step
from tests.faults.notifier.lab import fault_lab
from tests.faults.notifier.made_up import made_up_requests
from tests.faults.notifier.mail import odd_mail_server
from tests.faults.notifier.odd_answers import odd_answers
from tests.faults.notifier.outages import clock_jumps, restarted
from tests.faults.notifier.signatures import signed_deliveries
from tests.faults.notifier.toll import Scenario, Toll, Tolls

SCENARIOS: dict[str, Scenario] = {
    "kills": lambda lab: killed_at_each_step(lab, 1000),
    "bundles": lambda lab: killed_with_bundles(lab, 1000),
    "answers": odd_answers,
    "mail": odd_mail_server,
    "postgres": lambda lab: restarted(lab, "postgres", 1000),
    "kafka": lambda lab: restarted(lab, "kafka", 1000),
    "clock-ahead": lambda lab: clock_jumps(lab, 3600, 200),
    "clock-back": lambda lab: clock_jumps(lab, -3600, 200),
    "signatures": signed_deliveries,
    "addresses": led_inside,
    "api": made_up_requests,
}


async def _tried(name: str) -> Tolls | None:
    """What the scenario cost; None if it failed."""
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="datalab-faults-") as home:
            async with fault_lab(Path(home)) as lab:
                return await SCENARIOS[name](lab)
    except Exception:
        traceback.print_exc()
        return None
    finally:
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    """Run them, print the table and the sums."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells at length of a broker that is killed on purpose
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=list(SCENARIOS), nargs="+", default=list(SCENARIOS))
    tried = {name: asyncio.run(_tried(name)) for name in parser.parse_args().only}
    rows = {case: toll for tolls in tried.values() for case, toll in (tolls or {}).items()}
    print("| what is done | cases | alerts | lost | repeated ids | seen |\n|---|---|---|---|---|---|")
    for case, toll in rows.items():
        print(f"| {case} | {' | '.join(f'{part:,}' if isinstance(part, int) else part for part in toll)} |")
    sums = {key: sum(getattr(toll, key) for toll in rows.values()) for key in Toll._fields if key != "seen"}
    failed = [name for name, tolls in tried.items() if tolls is None]
    print(json.dumps(sums | {"failed": failed}))
    if failed or sums["lost"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
