"""A broker that is killed under a load of 100,000 events: what was answered with 202 is on the topic, each id once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from datalab.bus.reader import read_records
from tests.support.lab_parts import lab_parts
from tests.support.processes import free_port

BATCHES, SIZE, SENDERS = 200, 500, 4
KILL_AFTER = 40


def batch(number: int) -> list[dict[str, Any]]:
    return [
        {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "load", "type": "lab.metric.sampled.v1",
         "data": {"of": f"t{number % 7}", "name": "n", "value": n, "unit": "1"}}
        for n in range(SIZE)
    ]  # fmt: skip


class Senders:
    """Send batches until each is accepted as a whole, and note which ids were, and in which answers."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http, self._left = http, list(range(BATCHES))
        self.accepted: list[tuple[str, int, int]] = []
        self.repeated: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self.done = 0
        self.some = asyncio.Event()

    async def run(self) -> None:
        while self._left:
            await self._until_accepted(batch(self._left.pop()))

    async def _until_accepted(self, events: list[dict[str, Any]]) -> None:
        while events:
            answer = await self._http.post(
                "/v1/events", json=events, headers={"content-type": "application/cloudevents-batch+json"}
            )
            self.statuses[answer.status_code] += 1
            results = answer.json()["results"]
            taken = [result for result in results if result["status"] == 202]
            self.accepted += [(result["id"], result["partition"], result["offset"]) for result in taken]
            assert {result["status"] for result in results} <= {202, 503}, results[:3]
            events = [events[result["index"]] for result in results if result["status"] == 503]
            # Answered with 503 an event may be on the topic all the same; sent again it stands there twice.
            self.repeated |= {event["id"] for event in events}
            self.done += not events
            if self.done >= KILL_AFTER:
                self.some.set()
            if events:
                await asyncio.sleep(int(answer.headers["retry-after"]) / 5)


async def test_every_202_is_on_the_topic_and_no_id_twice(tmp_path: Path) -> None:
    environ = {"INGEST_PORT": str(free_port()), "INGEST_PUBLISH_TIMEOUT_SECONDS": "60"}
    parts = lab_parts(tmp_path / "lab", ["ingest"], environ)
    state = await asyncio.to_thread(parts.__enter__)
    try:
        bootstrap, pid = f"127.0.0.1:{state.parts['kafka'].ports['kafka']}", state.parts["kafka"].pid
        assert pid is not None
        async with httpx.AsyncClient(base_url=str(state.parts["ingest"].url), trust_env=False, timeout=90) as http:
            senders = Senders(http)
            sending = asyncio.gather(*(senders.run() for _ in range(SENDERS)))
            await senders.some.wait()
            os.kill(pid, signal.SIGKILL)
            assert not sending.done()
            await asyncio.wait_for(sending, 200)

        ids: Counter[str] = Counter()
        places: dict[str, tuple[int, int]] = {}
        async for record in read_records(bootstrap, ["lab.metrics"]):
            identity = dict(record.headers)["ce_id"].decode()
            if json.loads(record.value)["name"] == "n":
                ids[identity] += 1
                places[identity] = (record.partition, record.offset)
        assert len(senders.accepted) == BATCHES * SIZE
        assert {identity for identity, *_ in senders.accepted} == ids.keys()
        assert [one for one, count in ids.items() if count > 1 and one not in senders.repeated] == []
        assert [one for one, *place in senders.accepted if ids[one] == 1 and places[one] != tuple(place)] == []
        # The broker came back within the time that ingest waits, so nobody had to repeat anything.
        assert senders.repeated == set(), senders.statuses
    finally:
        await asyncio.to_thread(parts.__exit__, None, None, None)
