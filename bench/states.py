"""From a run's state to who wants to know: Prefect's websocket, its events on Kafka, and `lab.runs` behind both.

The same states in the same lab: a run is moved by REST, five times a second, and each listener notes when it hears of
it. Keys, each for `websocket`, `kafka` and `lab_runs`: p50_ms and p95_ms (from before the request), and heard (the
share of states that it heard of at all).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bench.bridge_lab import Parts, parts, rule, running_bridge
from bench.harness import repeat, report
from datalab.bus.reader import read_events, read_records
from schemas.catalog import PREFECT_EVENTS

_LISTENERS = ("websocket", "kafka", "lab_runs")
KEYS = tuple(f"{who}_{figure}" for who in _LISTENERS for figure in ("p50_ms", "p95_ms", "heard"))
_PER_SECOND = 5
_PATIENCE_S = 10.0
_STATES = ("RUNNING", "FAILED")
Heard = dict[str, dict[str, float]]


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--states", type=int, default=100)
    given = parser.parse_args()
    report("states", repeat(given.repeats, lambda _: asyncio.run(once(given.states))), KEYS)


async def once(count: int) -> Mapping[str, float]:
    """One lab from nothing to nothing."""
    heard: Heard = {who: {} for who in _LISTENERS}
    async with parts() as lab, running_bridge(lab, [rule("bench", "none/none", "false")]), _listening(lab, heard):
        sent = await _move(lab, count)
        await _until_heard(sent, heard)
    figures: dict[str, float] = {}
    for who, times in heard.items():
        waited = [1000 * (times[state] - at) for state, at in sent.items() if state in times]
        figures[f"{who}_p50_ms"] = statistics.median(waited)
        figures[f"{who}_p95_ms"] = statistics.quantiles(waited, n=20, method="inclusive")[-1]
        figures[f"{who}_heard"] = len(waited) / len(sent)
    return figures


async def _move(lab: Parts, count: int) -> dict[str, float]:
    """Times of the requests, by the id of the state that each made."""
    deployment = await lab.api.deploy()
    run = await lab.api.call("POST", f"/deployments/{deployment.id}/create_flow_run", {})
    sent: dict[str, float] = {}
    for number in range(count + _PER_SECOND):
        due, at = time.monotonic() + 1 / _PER_SECOND, time.time()
        body = {"state": {"type": _STATES[number % 2]}, "force": True}
        answer = await lab.api.call("POST", f"/flow_runs/{run['id']}/set_state", body)
        if number >= _PER_SECOND:  # the first find the listeners' caches cold
            sent[answer["state"]["id"]] = at
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    return sent


async def _until_heard(sent: Mapping[str, float], heard: Heard) -> None:
    """Wait until every listener has heard of every state, or for so long that it never will."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if all(sent.keys() <= times.keys() for times in heard.values()):
            return
        await asyncio.sleep(0.1)


@asynccontextmanager
async def _listening(lab: Parts, heard: Heard) -> AsyncIterator[None]:
    ready = [asyncio.Event() for _ in _LISTENERS]
    listeners: Sequence[Callable[..., Any]] = (_websocket, _kafka, _lab_runs)
    tasks = [
        asyncio.create_task(listen(lab, heard[who], begun))
        for who, listen, begun in zip(_LISTENERS, listeners, ready, strict=True)
    ]
    try:
        await asyncio.wait_for(asyncio.gather(*(begun.wait() for begun in ready)), 30)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _websocket(lab: Parts, heard: dict[str, float], begun: asyncio.Event) -> None:
    from prefect.events.clients import PrefectEventSubscriber

    async with PrefectEventSubscriber(api_url=lab.api_url) as events:
        begun.set()
        async for event in events:
            heard.setdefault(str(event.id), time.time())


async def _kafka(lab: Parts, heard: dict[str, float], begun: asyncio.Event) -> None:
    begun.set()
    async for record in read_records(lab.kafka, [PREFECT_EVENTS], follow=True):
        heard.setdefault(json.loads(record.value)["id"], time.time())


async def _lab_runs(lab: Parts, heard: dict[str, float], begun: asyncio.Event) -> None:
    begun.set()
    async for _, event in read_events(lab.kafka, ["lab.runs"], follow=True):
        heard.setdefault(event.data["state_id"], time.time())


if __name__ == "__main__":
    main()
