"""Prefect's server puts its events on Kafka by itself, and works the same where there is no Kafka."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from datalab.bus.reader import read_records
from schemas.catalog import PREFECT_EVENTS
from tests.integration.bridge.conftest import PrefectLab
from tests.support.lab_parts import fresh_database, prefect_server
from tests.support.polling import eventually


@pytest.fixture
def lonely_api(tmp_path: Path, database_server: str) -> Iterator[str]:
    """A server that is told of a broker where none is."""
    with prefect_server(tmp_path, fresh_database(database_server, migrated=False), kafka="127.0.0.1:9") as api:
        yield api


async def states_on_kafka(bootstrap: str, run_id: str) -> list[dict[str, Any]]:
    key = f"prefect.flow-run.{run_id}".encode()
    events = [
        json.loads(record.value) async for record in read_records(bootstrap, [PREFECT_EVENTS]) if record.key == key
    ]
    return [event for event in events if "prefect.state-type" in event["resource"]]


async def test_each_state_of_a_run_is_on_kafka_in_order_under_its_own_id(
    prefect: PrefectLab, dataset: str, kafka_bootstrap: str
) -> None:
    deployment = await prefect.deploy(f"{dataset}/load")
    run_id = await prefect.start(deployment)
    for state in ("PENDING", "RUNNING", "COMPLETED"):
        await prefect.set_state(run_id, state)
    told = await eventually(lambda: states_on_kafka(kafka_bootstrap, run_id), until=lambda e: len(e) >= 4)
    states = await prefect.call("GET", f"/flow_run_states/?flow_run_id={run_id}")
    assert [event["id"] for event in told] == [state["id"] for state in states]
    assert [event["resource"]["prefect.state-type"] for event in told] == [state["type"] for state in states]


async def test_a_server_whose_kafka_does_not_answer_works_and_stores_its_events(lonely_api: str) -> None:
    async with httpx.AsyncClient(base_url=lonely_api, trust_env=False, timeout=20) as client:
        prefect = PrefectLab(client)
        run_id = await prefect.start(await prefect.deploy("lonely/load"))
        query = {"filter": {"any_resource": {"id": [f"prefect.flow-run.{run_id}"]}}}

        async def stored() -> Any:
            return (await prefect.call("POST", "/events/filter", query))["events"]

        (event,) = await eventually(stored)
    assert event["event"] == "prefect.flow-run.Scheduled"
