"""The bridge: runs created from events, beside single calls and Prefect's own automations; and events no rule wants.

All in one lab, one after the other, on one Prefect server with Postgres. Keys: runs_per_s (events that wait on Kafka,
until all their runs exist), ratio_vs_single_calls (Prefect's client, one call after the other),
ratio_vs_prefect_automation (an automation that runs a deployment for each event), event_to_created_p50_ms and _p95_ms
(10 events/s, until the run's own time of creation), unmatched_events_per_s (50 rules, one process).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import yaml

from bench.bridge_peers import PrefectApi, automation, single_calls
from bench.harness import repeat, report
from datalab.bus.inspection import inspect_bus
from datalab.bus.publisher import Publisher
from datalab.local.layout import LabLayout
from datalab.local.parts.postgres import embedded_url
from schemas.envelope import Event, new_event
from schemas.metrics import MetricSampled
from services.bridge.app import build
from services.bridge.settings import BridgeSettings
from tests.support.lab_parts import lab_parts

KEYS = (
    "runs_per_s", "ratio_vs_single_calls", "ratio_vs_prefect_automation",
    "event_to_created_p50_ms", "event_to_created_p95_ms", "unmatched_events_per_s",
)  # fmt: skip
_TOPIC, _RULES, _PER_SECOND = "lab.metrics", 50, 10
_PATIENCE_S = 300.0


@dataclass(frozen=True)
class Parts:
    """A running broker, database and Prefect server."""

    kafka: str
    database: str
    api_url: str
    api: PrefectApi


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--events", type=int, default=2000, help="that start a run")
    parser.add_argument("--peer-events", type=int, default=300, help="for each of the peers")
    parser.add_argument("--unmatched", type=int, default=60_000)
    parser.add_argument("--seconds", type=int, default=20, help="of 10 events/s")
    given = parser.parse_args()
    report("bridge", repeat(given.repeats, lambda _: asyncio.run(once(given))), KEYS)


async def once(given: argparse.Namespace) -> Mapping[str, float]:
    """One lab from nothing to nothing."""
    async with parts() as lab:
        single = await single_calls(lab.api, given.peer_events)
        by_automation = await automation(lab.api, given.peer_events)
        runs_per_s = await _backlog(lab, given.events)
        p50, p95 = await _latency(lab, given.seconds * _PER_SECOND)
        unmatched = await _unmatched(lab, given.unmatched)
    return {
        "runs_per_s": runs_per_s,
        "single_calls_per_s": single,
        "automation_runs_per_s": by_automation,
        "ratio_vs_single_calls": runs_per_s / single,
        "ratio_vs_prefect_automation": runs_per_s / by_automation,
        "event_to_created_p50_ms": p50,
        "event_to_created_p95_ms": p95,
        "unmatched_events_per_s": unmatched,
    }


@asynccontextmanager
async def parts() -> AsyncIterator[Parts]:
    """What the bridge needs, in an empty directory."""
    with (
        tempfile.TemporaryDirectory(prefix="datalab-bench-") as home,
        lab_parts(Path(home), ["prefect", "topics", "migrations"]) as state,
    ):
        api_url = f"http://127.0.0.1:{state.parts['prefect'].ports['prefect']}/api"
        os.environ["PREFECT_API_URL"] = api_url
        kafka = f"127.0.0.1:{state.parts['kafka'].ports['kafka']}"
        async with httpx.AsyncClient(base_url=api_url, trust_env=False, timeout=60) as client:
            yield Parts(kafka, embedded_url(LabLayout.at(Path(home))), api_url, PrefectApi(client))


async def _backlog(lab: Parts, count: int) -> float:
    """Runs per second for events that wait when the bridge starts."""
    deployment = await lab.api.deploy()
    await _publish(lab, [_event(deployment.name) for _ in range(count)])
    async with _bridge(lab, [_rule("bench", deployment.name, f"event.data.of == '{deployment.name}'")]):
        started = time.monotonic()
        await lab.api.until_there_are(deployment, count)
        return count / (time.monotonic() - started)


async def _latency(lab: Parts, count: int) -> tuple[float, float]:
    """Milliseconds from before an event is sent until its run was created, by the run's own record."""
    deployment = await lab.api.deploy()
    sent: dict[str, float] = {}
    async with (
        _bridge(lab, [_rule("bench", deployment.name, f"event.data.of == '{deployment.name}'")]) as group,
        Publisher(lab.kafka, "bench") as publisher,
    ):
        await _until_read(lab, group)
        for _ in range(count):
            due = time.monotonic() + 1 / _PER_SECOND
            event = _event(deployment.name)
            sent[event.id] = time.time()
            await publisher.publish(event)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await lab.api.until_there_are(deployment, count)
    runs = await lab.api.runs(deployment)
    waited = [1000 * (_created(run) - sent[run["idempotency_key"].rpartition(":")[2]]) for run in runs]
    return statistics.median(waited), statistics.quantiles(waited, n=20, method="inclusive")[-1]


async def _unmatched(lab: Parts, count: int) -> float:
    """Events per second that a bridge reads, judges by 50 rules, and passes over."""
    deployment = await lab.api.deploy()
    nobody = [_rule(f"r{n}", deployment.name, f"event.data.of == 'nobody-{n}'") for n in range(_RULES)]
    await _publish(lab, [_event("somebody") for _ in range(count)])
    total = (await inspect_bus(lab.kafka)).topics[_TOPIC].records
    async with _bridge(lab, nobody) as group:
        started = time.monotonic()
        await _until_read(lab, group)
        return total / (time.monotonic() - started)


async def _publish(lab: Parts, events: Sequence[Event]) -> None:
    async with Publisher(lab.kafka, "bench") as publisher:
        for start in range(0, len(events), 1000):
            await publisher.publish_many(events[start : start + 1000])


@asynccontextmanager
async def _bridge(lab: Parts, rules: Sequence[dict[str, Any]]) -> AsyncIterator[str]:
    """A bridge in this process, in a group of its own; yields the group."""
    group, stop = f"bench-{uuid.uuid4().hex[:8]}", asyncio.Event()
    with tempfile.TemporaryDirectory(prefix="datalab-bench-rules-") as folder:
        path = Path(folder) / "rules" / "rules.yaml"
        path.parent.mkdir()
        path.write_text(yaml.safe_dump_all(rules), "utf-8")
        settings = BridgeSettings.model_validate(
            {"datalab_config_dir": folder, "bridge_group": group, "kafka_bootstrap_servers": lab.kafka,
             "database_url": lab.database, "prefect_api_url": lab.api_url}
        )  # fmt: skip
        async with build(settings) as bridge:
            working = asyncio.create_task(bridge.work(stop))
            try:
                yield group
            finally:
                stop.set()
                await working


async def _until_read(lab: Parts, group: str) -> None:
    """Wait until the group has committed all that is on the topic."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        groups = [lag.lag for lag in (await inspect_bus(lab.kafka)).groups if (lag.group, lag.topic) == (group, _TOPIC)]
        if groups == [0]:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{group} is behind by {groups} after {_PATIENCE_S:.0f} s")
        await asyncio.sleep(0.5)  # to ask costs this process, which is the one that is measured


def _rule(name: str, deployment: str, where: str) -> dict[str, Any]:
    run = {"deployment": deployment, "parameters": {"n": "{{ event.data.value }}"}}
    return {"name": name, "on": ["lab.metric.sampled.v1"], "where": where, "run": run}


def _event(of: str) -> Event:
    return new_event(MetricSampled(of=of, name="rows", value=1, unit="1"), source="/bench")


def _created(run: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(run["created"].replace("Z", "+00:00")).timestamp()


if __name__ == "__main__":
    main()
