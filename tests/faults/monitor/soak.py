"""`make soak-monitor`: thirty days of outages, at random and with repeats, told to a monitor that is killed now and
then, against the list of alerts that must come. Simulated: the times of events are those of the days, and they are told
within `--minutes`. Prints, last, one JSON object: days, minutes, events, alerts, kills, missed, doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from schemas.envelope import Event
from tests.faults.monitor.lab import MonitorLab, monitor_lab
from tests.faults.monitor.stories import days


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="within which the events are told")
    parser.add_argument("--days", type=float, default=30.0, help="of the events")
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    return asyncio.run(_soak(given))


async def _soak(given: argparse.Namespace) -> int:
    seed = random.randrange(10_000) if given.seed is None else given.seed
    chance = random.Random(seed)
    story = days(given.days, given.services, chance)
    print(f"seed {seed}: {len(story.heard)} events, {len(story.alerts)} alert events", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="datalab-soak-") as home:
        async with monitor_lab(Path(home)) as lab:
            begun = time.monotonic()
            telling = asyncio.create_task(_tell(lab, story.heard, given.minutes * 60))
            for _ in range(given.kills):
                with lab.monitor() as process:
                    await asyncio.wait({telling}, timeout=chance.uniform(0.5, 1.5) * given.minutes * 60 / given.kills)
                    process.kill()
            with lab.monitor() as last:
                await telling
                await last.caught_up(600)
                toll = await lab.counted(story)
    took = (time.monotonic() - begun) / 60
    said = {"days": given.days, "minutes": round(took, 1), "events": toll.events, "alerts": len(story.alerts)}
    print(json.dumps(said | {"kills": given.kills, "missed": toll.missed, "doubled": toll.doubled}))
    return 1 if toll.missed or toll.doubled else 0


async def _tell(lab: MonitorLab, events: Sequence[Event], within_s: float) -> None:
    """In their order, at an even pace."""
    begun, told = time.monotonic(), 0
    while some := events[told : told + 50]:
        await lab.tell(some)
        told += len(some)
        await asyncio.sleep(max(0.0, begun + within_s * told / len(events) - time.monotonic()))


if __name__ == "__main__":
    sys.exit(main())
