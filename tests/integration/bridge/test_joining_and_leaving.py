"""Bridges that come and go all the time share the work: one run each, in order per key."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import datetime
from typing import Any

from datalab.bus.publisher import Publisher
from schemas.envelope import Event
from tests.integration.bridge.conftest import Bridges, PrefectLab, file_arrived, file_rule
from tests.support.polling import eventually

_EVENTS, _KEYS, _SHIFTS = 300, 6, 7


async def test_three_instances_that_join_and_leave_twenty_times_make_one_run_of_each_event_in_order(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str
) -> None:
    deployment = await prefect.deploy(f"{dataset}/load")
    rule = file_rule(dataset) | {"where": f"event.data.dataset.startsWith('{dataset}')"}
    events = [file_arrived(f"{dataset}-{number % _KEYS}", f"{number}.csv") for number in range(_EVENTS)]

    async def count() -> int:
        body = {"deployments": {"id": {"any_": [deployment]}}}
        return int(await prefect.call("POST", "/flow_runs/count", body))

    async def come_and_go() -> None:
        for _ in range(_SHIFTS):
            before = await count()
            async with bridges.running(rule):
                await eventually(count, until=lambda now, before=before: now >= min(before + 10, _EVENTS), within_s=120)

    async with asyncio.TaskGroup() as together:
        for _ in range(3):
            together.create_task(come_and_go())
        together.create_task(_publish_with_repeats(publisher, events))
    async with bridges.running(rule):
        await eventually(count, until=lambda now: now >= _EVENTS, within_s=120)
    runs = await _all_runs(prefect, deployment)
    assert sorted(_event_id(run) for run in runs) == sorted(event.id for event in events)
    created = {_event_id(run): datetime.fromisoformat(run["created"]) for run in runs}
    by_key: defaultdict[str, list[datetime]] = defaultdict(list)
    for event in events:
        by_key[event.data["dataset"]].append(created[event.id])
    assert [times == sorted(times) for times in by_key.values()] == [True] * _KEYS
    # Three hundred runs that never start would be read again by every bridge of the session.
    flow = (await prefect.call("GET", f"/deployments/{deployment}"))["flow_id"]
    await prefect.call("DELETE", f"/flows/{flow}")


async def _publish_with_repeats(publisher: Publisher, events: list[Event]) -> None:
    """One after the other; every tenth once more, some later."""
    for number, event in enumerate(events):
        await publisher.publish(event)
        if number % 10 == 9:
            await publisher.publish(events[number - 5])


async def _all_runs(prefect: PrefectLab, deployment: str) -> list[dict[str, Any]]:
    body = {"deployments": {"id": {"any_": [deployment]}}, "limit": 200, "sort": "ID_DESC"}
    first = await prefect.call("POST", "/flow_runs/filter", body)
    return [*first, *await prefect.call("POST", "/flow_runs/filter", body | {"offset": 200})]


def _event_id(run: dict[str, Any]) -> str:
    return str(run["idempotency_key"]).rpartition(":")[2]
