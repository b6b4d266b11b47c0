"""A run is what its rule asks for, whether it is created by itself or in bulk; parameters are checked before."""

from __future__ import annotations

from functools import partial

from datalab.bus.publisher import Publisher
from tests.integration.bridge.conftest import Bridges, PrefectLab, file_arrived, file_rule
from tests.integration.bridge.test_dead_letters import own_letters
from tests.support.polling import eventually


async def test_name_labels_and_queue_reach_prefect_by_either_way(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str
) -> None:
    await prefect.deploy(f"{dataset}/load")
    asked = file_rule(dataset, labels={"size": "{{ event.data.size_bytes }}", "urgent": True})
    asked["run"]["name"] = "load {{ event.data.name }}"
    batch = [file_arrived(dataset, f"{number}.csv") for number in range(5)]
    await publisher.publish_many(batch)  # before the bridge is there, so that they come as one batch
    async with bridges.running(asked):
        for event in batch:
            await eventually(partial(prefect.runs_of, event))
        await publisher.publish(alone := file_arrived(dataset, "alone.csv"))
        await eventually(lambda: prefect.runs_of(alone))
    for event in [*batch, alone]:
        (run,) = await prefect.runs_of(event)
        assert run["name"] == f"load {event.data['name']}"
        assert run["labels"].items() >= {"size": 1, "urgent": True}.items()


async def test_a_deployment_that_was_changed_takes_what_it_refused_before(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, kafka_bootstrap: str
) -> None:
    id_ = await prefect.deploy(f"{dataset}/load")
    sizes = file_rule(dataset, parameters={"source_path": "{{ event.data.size_bytes }}"})
    first, second = file_arrived(dataset, "1.csv"), file_arrived(dataset, "2.csv")
    async with bridges.running(sizes):
        await publisher.publish(first)
        (letter,) = await eventually(lambda: own_letters(kafka_bootstrap, bridges.group, first))
        assert "parameter source_path: 1 is not of type" in letter.reason
        schema = {"type": "object", "properties": {"source_path": {"type": "integer"}}}
        await prefect.call("PATCH", f"/deployments/{id_}", {"parameter_openapi_schema": schema})
        await publisher.publish(second)
        await eventually(lambda: prefect.runs_of(second))
    assert await prefect.runs_of(first) == []
