"""Prefect's server puts its events on Kafka by itself, and works the same where there is no Kafka."""

from __future__ import annotations

import json
from typing import Any

from datalab.bus.reader import read_records
from schemas.catalog import PREFECT_EVENTS
from tests.integration.bridge.conftest import PrefectLab
from tests.support.polling import eventually


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
