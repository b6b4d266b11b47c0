"""kill -9 of any part in the middle of a story: it is restarted, and the story ends, once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time

import httpx
import pytest

from datalab.local.demo.proof import Hop
from datalab.local.demo.run import demonstrate
from datalab.local.demo.samples import broken_prices
from tests.e2e.conftest import Lab

# When each part dies: right after this hop was seen, which is when it has most to lose.
KILLED_AFTER = {
    "kafka": "lab.file.arrived.v1",
    "postgres": "run created",
    "prefect": "run created",
    "spark": "lab.quality.failed.v1",
    "mlflow": "file complete",
    "etl-worker": "run created",
    "mlops-worker": "file complete",
    "ingest": "file complete",
    "bridge": "lab.file.arrived.v1",
    "monitor": "lab.quality.failed.v1",
    "notifier": "lab.alert.firing.v1",
    "inbox": "lab.alert.firing.v1",
}


async def end_open_alerts(lab: Lab) -> None:
    """Let the next bad file raise an alert of its own: while one is open for a dataset, no second one fires."""
    passed = {"dataset": "stocks", "table": "none", "source_uri": "file:///none", "rows_checked": 0, "rows_failed": 0,
              "rules": []}  # fmt: skip
    lab.must("publish", "lab.quality.passed.v1", "--data", json.dumps(passed))
    deadline = time.monotonic() + 60
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        while True:
            answer = await client.get(f"{lab.addresses.monitor}/v1/alerts", params={"status": "firing"})
            if not answer.raise_for_status().json()["alerts"]:
                return
            assert time.monotonic() < deadline, answer.json()
            await asyncio.sleep(0.2)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("part", "moment"), KILLED_AFTER.items())
async def test_the_story_ends_once(lab: Lab, part: str, moment: str) -> None:
    await end_open_alerts(lab)
    before = lab.status()[part]
    killed: list[str] = []

    def kill(item: str | Hop) -> None:
        if isinstance(item, Hop) and item.name == moment and not killed:
            killed.append(moment)
            os.kill(before["pid"], signal.SIGKILL)

    proof = await demonstrate(lab.addresses, kill, samples=[broken_prices()], patience_s=150)
    assert killed
    assert proof.proved, proof.as_dict()
    after = lab.status()[part]
    assert after["restarts"] == before["restarts"] + 1
    assert after["pid"] != before["pid"]
