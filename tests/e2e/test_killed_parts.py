"""kill -9 of any part in the middle of a story: it is restarted, and the story ends, once.

Two or three parts die in each story, at different moments, which is harsher than one and takes half the time.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time

import httpx
import pytest

from datalab.local.demo.proof import Hop
from datalab.local.demo.run import BROKEN, demonstrate
from tests.e2e.conftest import Lab

# Which parts die in one story, each right after this hop was seen: when it has most to lose.
KILLED_AFTER: tuple[dict[str, str], ...] = (
    {"mlflow": "file complete", "kafka": "lab.file.arrived.v1"},
    {"ingest": "file complete", "bridge": "lab.file.arrived.v1"},
    {"mlops-worker": "file complete", "postgres": "run created"},
    {"etl-worker": "run created", "monitor": "lab.quality.failed.v1"},
    {"prefect": "run created", "notifier": "lab.alert.firing.v1"},
    {"dashboard": "file complete", "spark": "lab.quality.failed.v1", "inbox": "lab.alert.firing.v1"},
)


async def end_open_alerts(lab: Lab) -> None:
    """Let the next bad file raise an alert of its own: while one is open for a dataset, no second one fires."""
    passed = {"dataset": "stocks", "table": "none", "source_uri": "file:///none", "rows_checked": 0, "rows_failed": 0,
              "rules": []}  # fmt: skip
    lab.must("publish", "lab.quality.passed.v1", "--data", json.dumps(passed))
    deadline = time.monotonic() + 60
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        while True:
            answer = await client.get(
                f"{lab.addresses.monitor}/v1/alerts", params={"status": "firing", "rule": "data-quality"}
            )
            if not answer.raise_for_status().json()["alerts"]:
                return
            assert time.monotonic() < deadline, answer.json()
            await asyncio.sleep(0.2)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("moments", KILLED_AFTER, ids="+".join)
async def test_the_story_ends_once(lab: Lab, moments: dict[str, str]) -> None:
    await end_open_alerts(lab)
    before = lab.status()
    killed: set[str] = set()

    def kill(item: str | Hop) -> None:
        for part, moment in moments.items():
            if isinstance(item, Hop) and item.name == moment and part not in killed:
                killed.add(part)
                os.kill(before[part]["pid"], signal.SIGKILL)

    proof = await demonstrate(lab.addresses, kill, acts=[BROKEN], patience_s=150)
    assert killed == moments.keys()
    assert proof.proved, proof.as_dict()
    after = lab.status()
    for part in moments:
        assert after[part]["restarts"] == before[part]["restarts"] + 1, part
        assert after[part]["pid"] != before[part]["pid"], part


def test_every_part_dies_in_one_of_the_stories(lab: Lab) -> None:
    ours = {name for name, part in lab.status().items() if part["pid"]} - {"supervisor", "watchdog"}
    assert {part for moments in KILLED_AFTER for part in moments} == ours
