"""The broker's disk takes no more: what was accepted stays, what comes is 503 until there is room again, none is lost.

A limit on the size of the broker's files stands for the full disk: the kernel refuses the very same writes, also where
nobody may mount a small disk. It is lifted as room is made: with the broker's next start.
"""

from __future__ import annotations

import asyncio
import resource
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil

from datalab.bus.reader import read_records
from datalab.local.layout import LabLayout
from datalab.local.state import LabState
from tests.support.lab_parts import lab_parts
from tests.support.processes import free_port

# The broker's index files begin with 10 MiB each, so less would fail a start and not a write.
FILE_LIMIT = 24 * 1024 * 1024
EVENTS, BATCH, LABEL_BYTES = 160, 20, 250_000


def events(count: int) -> list[dict[str, Any]]:
    """All of one subject, so of one partition and one file."""
    data = {"of": "full", "name": "n", "value": 1, "unit": "1", "labels": {"filling": "x" * LABEL_BYTES}}
    one = {"specversion": "1.0", "source": "test", "type": "lab.metric.sampled.v1", "data": data}
    return [{**one, "id": str(uuid.uuid4())} for _ in range(count)]


class Sender:
    """Sends until all is accepted, and notes where each event is said to be, and which were refused in between."""

    def __init__(self, lab: LabState) -> None:
        self._url = f"{lab.parts['ingest'].url}/v1/events"
        self.places: dict[str, tuple[int, int]] = {}
        self.refused: set[str] = set()

    async def send(self, left: list[dict[str, Any]]) -> None:
        headers = {"content-type": "application/cloudevents-batch+json"}
        async with httpx.AsyncClient(trust_env=False, timeout=90) as http:
            while left:
                answer = await http.post(self._url, json=left, headers=headers)
                results = answer.json()["results"]
                assert {result["status"] for result in results} <= {202, 503}, results[0]
                taken = [result for result in results if result["status"] == 202]
                self.places |= {result["id"]: (result["partition"], result["offset"]) for result in taken}
                left = [one for one in left if one["id"] not in self.places]
                self.refused |= {one["id"] for one in left}
                if left:
                    await asyncio.sleep(1)


async def test_a_full_disk_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    parts = lab_parts(tmp_path / "lab", ["ingest"], {"INGEST_PORT": str(free_port())})
    lab = await asyncio.to_thread(parts.__enter__)
    try:
        broker = psutil.Process(lab.parts["kafka"].pid)
        broker.rlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, FILE_LIMIT))
        sender = Sender(lab)
        for _ in range(EVENTS // BATCH):
            await asyncio.wait_for(sender.send(events(BATCH)), 120)

        assert not broker.is_running(), "the broker met no limit"
        logs = "".join(path.read_text("utf-8", "replace") for path in LabLayout.at(Path(lab.home)).logs.glob("kafka*"))
        assert "File too large" in logs
        stored: Counter[str] = Counter()
        found: set[tuple[str, int, int]] = set()
        async for record in read_records(f"127.0.0.1:{lab.parts['kafka'].ports['kafka']}", ["lab.metrics"]):
            identity = dict(record.headers)["ce_id"].decode()
            stored[identity] += 1
            found.add((identity, record.partition, record.offset))
        assert len(sender.places) == EVENTS
        assert {(identity, *place) for identity, place in sender.places.items()} <= found
        assert [one for one, count in stored.items() if count > 1 and one not in sender.refused] == []
    finally:
        await asyncio.to_thread(parts.__exit__, None, None, None)
