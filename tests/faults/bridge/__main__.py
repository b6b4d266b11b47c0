"""`make faults-bridge`: every case on a lab of its own. Prints a table and, last, one JSON object with the keys cases,
events, lost, duplicated, out_of_order; writes `bench/results/faults-bridge.json`. Exits with 1 if books do not balance.

`--only NAME` runs the cases whose name holds this; results of the others are kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.harness import RESULTS, machine
from datalab.local.control import running
from datalab.local.layout import LabLayout
from datalab.local.parts.postgres import embedded_url
from datalab.local.parts.prefect import CREATOR
from tests.faults.bridge.books import Books
from tests.faults.bridge.cases import joining_and_leaving, killed_at, with_outages
from tests.faults.bridge.parts import Parts, parts
from tests.faults.bridge.poison import poisoned
from tests.faults.bridge.steps import STEPS
from tests.faults.bridge.waiting import limited, windows
from tests.support.lab_parts import lab_parts

_RESULT = RESULTS / "faults-bridge.json"
_PREFECT_AWAY_S = 60.0
_SUMS = ("events", "lost", "duplicated", "out_of_order")
Run = Callable[[Parts, random.Random], Awaitable[Books]]


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1000, help="in each case")
    parser.add_argument("--kills", type=int, default=3, help="at each step, and of each part")
    parser.add_argument("--changes", type=int, default=20, help="of the three instances")
    parser.add_argument("--seed", type=int, default=None, help="of the random moments")
    parser.add_argument("--only", default=[""], nargs="+", help="cases whose name holds one of these")
    given = parser.parse_args()
    seed = random.randrange(10_000) if given.seed is None else given.seed
    with (
        tempfile.TemporaryDirectory(prefix="datalab-faults-") as home,
        lab_parts(Path(home), ["prefect", CREATOR, "topics", "migrations"], {"DATALAB_PREFECT_CREATORS": "1"}) as state,
    ):
        creator = f"http://127.0.0.1:{state.parts[CREATOR].ports[CREATOR]}/api"
        kafka = f"127.0.0.1:{state.parts['kafka'].ports['kafka']}"
        api = f"http://127.0.0.1:{state.parts['prefect'].ports['prefect']}/api"
        chosen = {
            name: run
            for name, run in _cases(given, Path(home), creator).items()
            if any(part in name for part in given.only)
        }
        found = asyncio.run(_run(chosen, kafka, api, Path(home), seed, given.events))
    return _report(found)


def _cases(given: argparse.Namespace, home: Path, creator: str) -> dict[str, Run]:
    count, kills = given.events, given.kills

    def outage(name: str, harm: Callable[[Parts], Awaitable[None]], times: int) -> Run:
        return lambda lab, chance: with_outages(name, lab, count, chance, lambda: harm(lab), times)

    def at(step: str) -> Run:
        return lambda lab, chance: killed_at(lab, count, chance, step, kills)

    async def prefect_away(lab: Parts) -> None:
        _kill_part(home, "prefect")
        await lab.gate.shut()
        await asyncio.sleep(_PREFECT_AWAY_S)  # the outage itself
        await lab.gate.open()

    async def broker(_: Parts) -> None:
        _kill_part(home, "kafka")

    async def postgres(_: Parts) -> None:
        _kill_part(home, "postgres")

    async def creator_killed(_: Parts) -> None:
        _kill_part(home, CREATOR)

    async def with_creator(lab: Parts, chance: random.Random) -> Books:
        # Only here: what creates runs elsewhere has to come through the gate.
        lab.creators = creator
        try:
            return await with_outages("a creator is killed", lab, count, chance, lambda: creator_killed(lab), kills)
        finally:
            lab.creators = ""

    return {
        **{f"killed {step}": at(step) for step in STEPS},
        "the broker is killed": outage("the broker is killed", broker, kills),
        "Prefect is away for a minute": outage("Prefect is away for a minute", prefect_away, 1),
        "Postgres is killed": outage("Postgres is killed", postgres, kills),
        "a creator is killed": with_creator,
        "three instances join and leave": lambda lab, chance: joining_and_leaving(lab, count, chance, given.changes),
        "killed while windows fill": lambda lab, chance: windows(lab, count, chance, [*STEPS] * kills),
        "killed while triggers wait": lambda lab, chance: limited(lab, count, chance, [*STEPS] * kills),
        "poison": lambda lab, chance: poisoned(lab, count, chance, 10),
    }


async def _run(cases: dict[str, Run], kafka: str, api: str, home: Path, seed: int, events: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with parts(kafka, embedded_url(LabLayout.at(home)), api, home) as lab:
        for name, run in cases.items():
            started = time.monotonic()
            try:
                books = await run(lab, random.Random(f"{seed} {name}"))
                result = {**books.to_json(), "faults": books.faults()}
            except (AssertionError, OSError) as error:
                # What did not come to its end counts as lost; the other cases are run all the same.
                result = dict.fromkeys(_SUMS, 0) | {"case": name, "events": events, "lost": events, "runs": 0}
                result["faults"] = [f"did not come to its end: {error}"]
                print((home / "bridges.log").read_text("utf-8")[-3000:], file=sys.stderr)
            found.append({**result, "seconds": round(time.monotonic() - started)})
            print(f"{name}: {json.dumps(found[-1])}", file=sys.stderr, flush=True)
            _keep(found, seed)
    return found


def _kill_part(home: Path, name: str) -> None:
    """kill -9 a part of the lab, whose supervisor starts it again."""
    state = running(LabLayout.at(home))
    pid = state.parts[name].pid if state else None
    assert pid is not None, f"{name} does not run"
    os.kill(pid, signal.SIGKILL)


def _keep(found: list[dict[str, Any]], seed: int) -> None:
    """Write what was found until now, beside the cases that were not run this time."""
    before = json.loads(_RESULT.read_text("utf-8"))["cases"] if _RESULT.exists() else []
    new = {case["case"] for case in found}
    cases = [case for case in before if case["case"] not in new] + found
    result = {"taken_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "seed": seed}
    _RESULT.write_text(json.dumps({**result, "cases": cases}, indent=1) + "\n", "utf-8")


def _report(found: list[dict[str, Any]]) -> int:
    for case in found:
        said = "; ".join(case["faults"]) or "balanced"
        print(f"{case['case']:<32} {case['events']:>5} events {case['runs']:>5} runs {case['seconds']:>5} s  {said}")
    print(json.dumps({"cases": len(found)} | {name: sum(case[name] for case in found) for name in _SUMS}))
    return 1 if any(case["faults"] for case in found) else 0


if __name__ == "__main__":
    sys.exit(main())
