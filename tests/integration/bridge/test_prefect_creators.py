"""Prefect servers that only create runs: their events reach the services of the first, and the bridge does without
them when they are away."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from datalab.bus.publisher import Publisher
from datalab.local.parts.prefect import CREATOR
from tests.integration.bridge.conftest import Bridges, PrefectLab, file_arrived, file_rule
from tests.support.lab_parts import fresh_database, lab_parts
from tests.support.polling import eventually


@dataclass(frozen=True)
class Servers:
    """A Prefect of two servers: their APIs, and the process of the second."""

    first: str
    creator: str
    creator_pid: int


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, database_server: str, kafka_bootstrap: str) -> Iterator[Servers]:
    environ = {
        "DATABASE_URL": fresh_database(database_server, migrated=False),
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "DATALAB_PREFECT_CREATORS": "1",
    }
    with lab_parts(tmp_path_factory.mktemp("creators"), ["prefect", CREATOR], environ) as state:
        creator = state.parts[CREATOR]
        assert creator.pid is not None
        yield Servers(
            f"{state.parts['prefect'].url}/api", f"http://127.0.0.1:{creator.ports[CREATOR]}/api", creator.pid
        )


@pytest.fixture
async def first(servers: Servers) -> AsyncIterator[PrefectLab]:
    async with httpx.AsyncClient(base_url=servers.first, trust_env=False, timeout=60) as client:
        yield PrefectLab(client)


@pytest.fixture
async def creator(servers: Servers) -> AsyncIterator[PrefectLab]:
    async with httpx.AsyncClient(base_url=servers.creator, trust_env=False, timeout=60) as client:
        yield PrefectLab(client)


async def runs_of(prefect: PrefectLab, deployment: str) -> list[dict[str, Any]]:
    body = {"deployments": {"id": {"any_": [deployment]}}}
    runs: list[dict[str, Any]] = await prefect.call("POST", "/flow_runs/filter", body)
    return runs


async def test_what_a_creator_tells_is_stored_and_starts_automations_once(
    first: PrefectLab, creator: PrefectLab, dataset: str
) -> None:
    watched, started = await first.deploy(f"{dataset}/watched"), await first.deploy(f"{dataset}/started")
    trigger = {
        "type": "event", "posture": "Reactive", "threshold": 1, "within": 0, "expect": ["prefect.flow-run.Scheduled"],
        "match_related": {"prefect.resource.id": f"prefect.deployment.{watched}"},
    }  # fmt: skip
    action = {
        "type": "run-deployment", "source": "selected", "deployment_id": started, "parameters": {"source_path": "x"},
    }  # fmt: skip
    automation = {"name": dataset, "trigger": trigger, "actions": [action], "enabled": True}
    await first.call("POST", "/automations/", automation)

    async def triggered() -> int:
        # Until the first server's services have heard of the automation nothing comes of a run.
        await creator.start(watched)
        return len(await runs_of(first, started))

    await eventually(triggered, within_s=120)
    run_id, before = await creator.start(watched), len(await runs_of(first, watched))
    query = {"filter": {"any_resource": {"id": [f"prefect.flow-run.{run_id}"]}}}

    async def stored() -> list[dict[str, Any]]:
        events = (await first.call("POST", "/events/filter", query))["events"]
        # The automation's own events name the run as well, as what set them off.
        return [event for event in events if event["resource"]["prefect.resource.id"] == f"prefect.flow-run.{run_id}"]

    (event,) = await eventually(stored)
    (state,) = await first.call("GET", f"/flow_run_states/?flow_run_id={run_id}")
    assert (event["event"], event["id"]) == ("prefect.flow-run.Scheduled", state["id"])
    own = await eventually(lambda: runs_of(first, started), until=lambda runs: len(runs) >= 1)
    assert len(own) <= before, "no event starts two runs"


async def test_a_bridge_creates_on_both_and_does_without_the_one_that_is_killed(
    servers: Servers, first: PrefectLab, bridges: Bridges, publisher: Publisher, dataset: str
) -> None:
    await first.deploy(f"{dataset}/load")
    urls = {"prefect_api_url": servers.first, "bridge_prefect_creators": servers.creator}
    events = [file_arrived(dataset, f"{number}.csv") for number in range(30)]

    async def counts() -> list[int]:
        return [len(await first.runs_of(event)) for event in events]

    async with bridges.running(file_rule(dataset), **urls):
        await publisher.publish_many(events[:10])
        await eventually(counts, until=lambda found: found[:10] == [1] * 10)
        os.kill(servers.creator_pid, signal.SIGKILL)
        await publisher.publish_many(events[10:])
        await eventually(counts, until=all)
        assert await counts() == [1] * len(events)
