"""The bridge: runs created from events, beside single calls and Prefect's own automations; and events no rule wants.

All in one lab, one after the other, on Postgres: a Prefect server, and one beside it that only creates runs for the
bridge. Keys: runs_per_s (events that wait on Kafka, until all their runs exist), ratio_vs_single_calls (Prefect's
client, one call after the other), ratio_vs_prefect_automation (an automation that runs a deployment for each event),
event_to_created_p50_ms and _p95_ms (10 events/s, until the run's own time of creation), unmatched_events_per_s
(50 rules, one process). Also runs_per_s_one_server: the same without the second server.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bench.bridge_lab import TOPIC, Parts, event, events, parts, publish, rule, running_bridge, until_read, until_told
from bench.bridge_peers import Deployment, automation, single_calls
from bench.harness import repeat, report
from datalab.bus.inspection import inspect_bus
from datalab.bus.publisher import Publisher

KEYS = (
    "runs_per_s", "ratio_vs_single_calls", "ratio_vs_prefect_automation",
    "event_to_created_p50_ms", "event_to_created_p95_ms", "unmatched_events_per_s",
)  # fmt: skip
_RULES, _PER_SECOND = 50, 10


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--events", type=int, default=2000, help="that start a run, and single calls beside them")
    parser.add_argument("--peer-events", type=int, default=300, help="for Prefect's automation")
    parser.add_argument("--unmatched", type=int, default=60_000)
    parser.add_argument("--creators", type=int, default=1, help="Prefect servers beside the first, to create runs")
    parser.add_argument("--seconds", type=int, default=20, help="of 10 events/s")
    given = parser.parse_args()
    report("bridge", repeat(given.repeats, lambda _: asyncio.run(once(given))), KEYS, creators=given.creators)


async def once(given: argparse.Namespace) -> Mapping[str, float]:
    """One lab from nothing to nothing."""
    async with parts(given.creators) as lab:
        single = await single_calls(lab.api, given.events)
        by_automation = await automation(lab.api, given.peer_events)
        runs_per_s = await _backlog(lab, given.events)
        by_one = await _backlog(lab, given.events // 2, creators=False) if given.creators else runs_per_s
        p50, p95 = await _latency(lab, given.seconds * _PER_SECOND)
        unmatched = await _unmatched(lab, given.unmatched)
    return {
        "runs_per_s": runs_per_s,
        "runs_per_s_one_server": by_one,
        "single_calls_per_s": single,
        "automation_runs_per_s": by_automation,
        "ratio_vs_single_calls": runs_per_s / single,
        "ratio_vs_prefect_automation": runs_per_s / by_automation,
        "event_to_created_p50_ms": p50,
        "event_to_created_p95_ms": p95,
        "unmatched_events_per_s": unmatched,
    }


async def _backlog(lab: Parts, count: int, *, creators: bool = True) -> float:
    """Runs per second for events that wait when the bridge starts."""
    deployment = await lab.api.deploy()
    await publish(lab, events(deployment.name, count))
    async with running_bridge(lab, [_rule(deployment)], creators=creators):
        started = time.monotonic()
        await lab.api.until_there_are(deployment, count)
        seconds = time.monotonic() - started
    await lab.api.forget(deployment)
    return count / seconds


async def _latency(lab: Parts, count: int) -> tuple[float, float]:
    """Milliseconds from before an event is sent until its run was created, by the run's own record."""
    deployment = await lab.api.deploy()
    sent: dict[str, float] = {}
    async with (
        running_bridge(lab, [_rule(deployment)]) as group,
        Publisher(lab.kafka, "bench") as publisher,
    ):
        await until_read(lab, group)
        await until_told(lab)
        for sample in events(deployment.name, count):
            due = time.monotonic() + 1 / _PER_SECOND
            sent[sample.id] = time.time()
            await publisher.publish(sample)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await lab.api.until_there_are(deployment, count)
    runs = await lab.api.runs(deployment)
    waited = [1000 * (_created(run) - sent[run["idempotency_key"].rpartition(":")[2]]) for run in runs]
    return statistics.median(waited), statistics.quantiles(waited, n=20, method="inclusive")[-1]


async def _unmatched(lab: Parts, count: int) -> float:
    """Events per second that a bridge reads, judges by 50 rules, and passes over."""
    deployment = await lab.api.deploy()
    nobody = [rule(f"r{n}", deployment.name, f"event.data.of == 'nobody-{n}'") for n in range(_RULES)]
    await publish(lab, [event("somebody") for _ in range(count)])
    total = (await inspect_bus(lab.kafka)).topics[TOPIC].records
    async with running_bridge(lab, nobody) as group:
        started = time.monotonic()
        await until_read(lab, group)
        return total / (time.monotonic() - started)


def _rule(deployment: Deployment) -> dict[str, Any]:
    return rule("bench", deployment.name, f"event.data.name == '{deployment.name}'")


def _created(run: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(run["created"].replace("Z", "+00:00")).timestamp()


if __name__ == "__main__":
    main()
