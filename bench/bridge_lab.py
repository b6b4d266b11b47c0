"""A lab for `bench.bridge`: broker, database and Prefect as processes, and the bridge in this process."""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from bench.bridge_peers import PrefectApi
from datalab.bus.inspection import inspect_bus
from datalab.bus.publisher import Publisher
from datalab.local.layout import LabLayout
from datalab.local.parts.postgres import embedded_url
from datalab.local.parts.prefect import CREATOR
from datalab.local.plan import all_parts
from schemas.envelope import Event, new_event
from schemas.metrics import MetricSampled
from services.bridge.app import build
from services.bridge.settings import BridgeSettings
from tests.support.lab_parts import lab_parts

TOPIC = "lab.metrics"
_PATIENCE_S = 300.0
_SUBJECTS = 12


@dataclass(frozen=True)
class Parts:
    """A running broker, database and Prefect server."""

    kafka: str
    database: str
    api_url: str
    api: PrefectApi
    creators: Sequence[str]


@asynccontextmanager
async def parts(creators: int = 0) -> AsyncIterator[Parts]:
    """What the bridge needs, in an empty directory, with so many Prefect servers that only create runs."""
    names = [name for name in (part.name for part in all_parts(creators=creators)) if name.startswith(CREATOR)]
    with (
        tempfile.TemporaryDirectory(prefix="datalab-bench-") as home,
        lab_parts(
            Path(home), ["prefect", "topics", "migrations", *names], {"DATALAB_PREFECT_CREATORS": str(creators)}
        ) as state,
    ):
        api_url = f"http://127.0.0.1:{state.parts['prefect'].ports['prefect']}/api"
        kafka = f"127.0.0.1:{state.parts['kafka'].ports['kafka']}"
        async with httpx.AsyncClient(base_url=api_url, trust_env=False, timeout=60) as client:
            others = [f"http://127.0.0.1:{state.parts[name].ports[name]}/api" for name in names]
            yield Parts(kafka, embedded_url(LabLayout.at(Path(home))), api_url, PrefectApi(client), others)


async def publish(lab: Parts, events: Sequence[Event]) -> None:
    """Send many events, acknowledged."""
    async with Publisher(lab.kafka, "bench") as publisher:
        for start in range(0, len(events), 1000):
            await publisher.publish_many(events[start : start + 1000])


@asynccontextmanager
async def running_bridge(lab: Parts, rules: Sequence[dict[str, Any]], *, creators: bool = True) -> AsyncIterator[str]:
    """A bridge in this process, in a group of its own; yields the group. It has runs created by all servers, or by the
    first alone."""
    group, stop = f"bench-{uuid.uuid4().hex[:8]}", asyncio.Event()
    with tempfile.TemporaryDirectory(prefix="datalab-bench-rules-") as folder:
        path = Path(folder) / "rules" / "rules.yaml"
        path.parent.mkdir()
        path.write_text(yaml.safe_dump_all(rules), "utf-8")
        settings = BridgeSettings.model_validate(
            {"datalab_config_dir": folder, "bridge_group": group, "kafka_bootstrap_servers": lab.kafka,
             "database_url": lab.database, "prefect_api_url": lab.api_url,
             "bridge_prefect_creators": ",".join(lab.creators) if creators else ""}
        )  # fmt: skip
        async with build(settings) as bridge:
            working = asyncio.create_task(bridge.work(stop))
            try:
                yield group
            finally:
                stop.set()
                await working


async def until_read(lab: Parts, group: str) -> None:
    """Wait until the group has committed all that is on the topic."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        groups = [lag.lag for lag in (await inspect_bus(lab.kafka)).groups if (lag.group, lag.topic) == (group, TOPIC)]
        if groups == [0]:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{group} is behind by {groups} after {_PATIENCE_S:.0f} s")
        await asyncio.sleep(0.5)  # to ask costs this process, which is the one that is measured


async def until_told(lab: Parts) -> None:
    """Wait until the states of the runs of earlier measurements are on Kafka: none new within 5 s."""
    deadline, told = time.monotonic() + _PATIENCE_S, -1
    while (now := (await inspect_bus(lab.kafka)).topics["lab.runs"].records) != told:
        if time.monotonic() > deadline:
            raise TimeoutError(f"lab.runs still grows after {_PATIENCE_S:.0f} s")
        told = now
        await asyncio.sleep(5)


def rule(name: str, deployment: str, where: str) -> dict[str, Any]:
    """A rule for the events of this benchmark."""
    run = {"deployment": deployment, "parameters": {"n": "{{ event.data.value }}"}}
    return {"name": name, "on": ["lab.metric.sampled.v1"], "where": where, "run": run}


def event(of: str) -> Event:
    """A measurement of that name."""
    return new_event(MetricSampled(of=of, name="rows", value=1, unit="1"), source="/bench")


def events(name: str, count: int) -> list[Event]:
    """Measurements of that name, of as many subjects as a lab may have datasets: these are the keys of the topic."""
    data = [MetricSampled(of=f"dataset-{n % _SUBJECTS}", name=name, value=1, unit="1") for n in range(count)]
    return [new_event(one, source="/bench") for one in data]
