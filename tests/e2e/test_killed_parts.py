"""kill -9 of any part in the middle of a story: it is restarted, and the story ends, once.

Two or three parts die in each story, at different moments, which is harsher than one and takes half the time.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable, Set
from typing import Any

import pytest

from datalab.local.demo.proof import Hop
from datalab.local.demo.run import BROKEN, demonstrate
from tests.e2e.conftest import Lab
from tests.e2e.runs import get, wait_for

# Which parts die in one story, each right after this hop was seen: when it has most to lose.
KILLED_AFTER: tuple[dict[str, str], ...] = (
    {"mlflow": "file complete", "kafka": "lab.file.arrived.v1"},
    {"ingest": "file complete", "bridge": "lab.file.arrived.v1"},
    {"mlops-worker": "file complete", "postgres": "run created"},
    {"etl-worker": "run created", "monitor": "lab.quality.failed.v1"},
    {"prefect": "run created", "notifier": "lab.alert.firing.v1"},
    {"dashboard": "file complete", "spark": "lab.quality.failed.v1", "inbox": "lab.alert.firing.v1"},
)


def end_open_alerts(lab: Lab) -> None:
    """Let the next bad file raise an alert of its own: while one is open for a dataset, no second one fires."""
    passed = {"dataset": "stocks", "table": "none", "source_uri": "file:///none", "rows_checked": 0, "rows_failed": 0,
              "rules": []}  # fmt: skip
    lab.must("publish", "lab.quality.passed.v1", "--data", json.dumps(passed))
    open_ = {"status": "firing", "rule": "data-quality"}
    wait_for(lambda: not get(f"{lab.addresses.monitor}/v1/alerts", **open_)["alerts"], "the end of open alerts")


@pytest.mark.parametrize("moments", KILLED_AFTER, ids="+".join)
async def test_the_story_ends_once(lab: Lab, moments: dict[str, str]) -> None:
    end_open_alerts(lab)
    before = wait_for(lambda: all_run(lab, moments), f"{', '.join(moments)} to run")
    killed: set[str] = set()

    def kill(item: str | Hop) -> None:
        for part, moment in moments.items():
            if isinstance(item, Hop) and item.name == moment and part not in killed:
                killed.add(part)
                os.kill(before[part]["pid"], signal.SIGKILL)

    proof = await demonstrate(lab.addresses, kill, acts=[BROKEN], patience_s=150)
    assert killed == moments.keys()
    assert proof.proved, proof.as_dict()
    # The story may have ended without a part that died in it.
    old = {before[part]["pid"] for part in moments}
    after = wait_for(lambda: all_run(lab, moments, besides=old), f"the return of {', '.join(moments)}")
    for part in moments:
        assert after[part]["restarts"] == before[part]["restarts"] + 1, part
        assert after[part]["pid"] != before[part]["pid"], part


def all_run(lab: Lab, parts: Iterable[str], besides: Set[int] = frozenset()) -> dict[str, dict[str, Any]] | None:
    """The lab's status, once each of these parts has a living process that is none of those."""
    now = lab.status()
    return now if all(now[part]["pid"] not in {None, *besides} for part in parts) else None


def test_every_part_dies_in_one_of_the_stories(lab: Lab) -> None:
    ours = {name for name, part in lab.status().items() if part["pid"]} - {"supervisor", "watchdog"}
    assert {part for moments in KILLED_AFTER for part in moments} == ours
