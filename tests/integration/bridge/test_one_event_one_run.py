"""One event, one run: under repeats, several instances, crashes between the steps, and outages of Prefect."""

from __future__ import annotations

import asyncio
from functools import partial
from urllib.parse import urlsplit

import httpx
from aiokafka.admin import AIOKafkaAdminClient

from datalab.bus.publisher import Publisher, RecordRef
from datalab.runtime.clock import SystemClock
from datalab.store.engine import create_engine, create_sessions
from services.bridge.decisions import decide, idempotency_key
from services.bridge.deployments import Deployments
from services.bridge.intake import Intake
from services.bridge.ledger import Ledger
from services.bridge.pauses import Pauses
from services.bridge.prefect_http import PrefectHttp
from services.bridge.prefect_runs import RunCreator
from services.bridge.rules import Rule, RuleSpec
from services.bridge.rules_in_force import RulesInForce
from services.bridge.trigger import TriggerHandler
from services.bridge.waiting import WaitingTriggers
from services.bridge.windows.store import Windows
from tests.integration.bridge.conftest import Bridges, PrefectLab, file_arrived, file_rule
from tests.support.door import door_to
from tests.support.polling import eventually


async def test_repeats_to_two_instances_make_one_run(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str
) -> None:
    await prefect.deploy(f"{dataset}/load")
    event, last = file_arrived(dataset), file_arrived(dataset, "last.csv")
    async with bridges.running(file_rule(dataset)), bridges.running(file_rule(dataset)):
        for _ in range(5):
            await publisher.publish(event)
        await publisher.publish(last)  # the same key, so it is handled after all the repeats
        await eventually(lambda: prefect.runs_of(last))
    async with bridges.running(file_rule(dataset)):  # and after a restart nothing starts again
        await publisher.publish(event)
        await publisher.publish(again := file_arrived(dataset, "again.csv"))
        await eventually(lambda: prefect.runs_of(again))
    runs = await prefect.runs_of(event)
    assert [run["parameters"] for run in runs] == [{"source_path": "file:///landing/a%20b.csv"}]
    assert set(runs[0]["tags"]) == {
        f"datalab.event={event.id}",
        f"datalab.correlation={event.id}",
        "datalab.rule=files",
    }


async def test_an_instance_that_handles_an_event_at_the_same_time_makes_no_second_run(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str
) -> None:
    """As after a rebalance, when a slow instance still handles what another one was given: two groups stand for it."""
    await prefect.deploy(f"{dataset}/load")
    events = [file_arrived(dataset, f"{n}.csv") for n in range(10)]
    rule = file_rule(dataset)
    async with bridges.running(rule), bridges.running(rule, bridge_group=f"{bridges.group}-zombie"):
        await publisher.publish_many(events)
        for event in events:
            await eventually(partial(prefect.runs_of, event))
    assert [len(await prefect.runs_of(event)) for event in events] == [1] * 10


async def test_a_crash_after_the_run_was_created_makes_no_second_run(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, database_url: str
) -> None:
    """The run is there; the ledger has no row of it (first event), or one that is still pending (second)."""
    deployment = await prefect.deploy(f"{dataset}/load")
    spec = RuleSpec.model_validate(file_rule(dataset))
    lost, pending = file_arrived(dataset, "lost.csv"), file_arrived(dataset, "pending.csv")
    created = []
    for event in (lost, pending):
        decision = decide(Rule.of(spec, "test"), event)
        key = idempotency_key(spec.name, spec.run.deployment, event)
        body = {"idempotency_key": key, "parameters": decision.parameters, "tags": decision.tags}
        created.append((await prefect.call("POST", f"/deployments/{deployment}/create_flow_run", body))["id"])
    engine = create_engine(database_url)
    ledger = Ledger(create_sessions(engine))
    await ledger.open(decide(Rule.of(spec, "test"), pending), pending, RecordRef("lab.files", 0, 0))

    async with bridges.running(file_rule(dataset)):
        await publisher.publish_many([lost, pending])
        rows = await eventually(
            lambda: ledger.page(size=10, token=None, event_id=None, rule=None, status="created"),
            until=lambda page: {lost.id, pending.id} <= {row.event_id for row in page[0]},
        )
    await engine.dispose()
    assert {row.event_id: row.flow_run_id for row in rows[0] if row.event_id in (lost.id, pending.id)} == {
        lost.id: created[0],
        pending.id: created[1],
    }
    assert [len(await prefect.runs_of(event)) for event in (lost, pending)] == [1, 1]


async def test_prefect_away_holds_the_offset_and_loses_nothing(
    bridges: Bridges,
    prefect: PrefectLab,
    publisher: Publisher,
    dataset: str,
    prefect_api_url: str,
    kafka_bootstrap: str,
    database_url: str,
) -> None:
    await prefect.deploy(f"{dataset}/load")
    event = file_arrived(dataset)
    server = urlsplit(prefect_api_url)
    async with door_to(server.hostname or "", server.port or 0) as door:
        await door.close()
        async with bridges.running(file_rule(dataset), prefect_api_url=f"http://127.0.0.1:{door.port}/api") as bridge:
            ref = await publisher.publish(event)
            pending = Ledger(create_sessions(engine := create_engine(database_url)))
            await eventually(
                lambda: pending.page(size=1, token=None, event_id=event.id, rule=None, status="pending"),
                until=lambda page: bool(page[0]),
            )
            await asyncio.sleep(1.0)  # several attempts fail meanwhile
            assert await _committed(kafka_bootstrap, bridges.group, ref) <= ref.offset
            assert await prefect.runs_of(event) == []
            await door.open()
            await eventually(lambda: prefect.runs_of(event))
            await eventually(
                lambda: _committed(kafka_bootstrap, bridges.group, ref), until=lambda offset: offset > ref.offset
            )
            await eventually(bridge.consuming.check, until=lambda reason: reason is None)
        await engine.dispose()
    assert len(await prefect.runs_of(event)) == 1


async def _committed(bootstrap: str, group: str, ref: RecordRef) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(group)
        return max((o.offset for tp, o in offsets.items() if (tp.topic, tp.partition) == ref[:2]), default=-1)
    finally:
        await admin.close()


async def test_the_runs_of_many_events_are_created_in_few_requests_each_once(
    bridges: Bridges,
    prefect: PrefectLab,
    publisher: Publisher,
    dataset: str,
    prefect_api_url: str,
    database_url: str,
) -> None:
    for name in ("load", "check"):
        await prefect.deploy(f"{dataset}/{name}")
    checks = file_rule(dataset, "checks", deployment=f"{dataset}/check")
    settings = bridges.settings([file_rule(dataset), checks])
    events = [file_arrived(dataset, f"{number}.csv") for number in range(60)]
    batch = [(event, RecordRef("lab.files", 0, offset)) for offset, event in enumerate(events)]
    sessions = create_sessions(engine := create_engine(database_url))
    ledger, clock = Ledger(sessions), SystemClock()
    rules = RulesInForce(settings.rules_dir, clock)
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        http = PrefectHttp(client, prefect_api_url)
        runs = RunCreator(http, Deployments(http, clock))
        pauses = Pauses(sessions, publisher)
        intake = Intake(WaitingTriggers(sessions), Windows(sessions), pauses, lambda: None)
        first = TriggerHandler(rules, ledger, intake, runs, clock, patience_s=1)
        # Killed right after, so nothing was committed and the successor is given all of them again.
        assert await first.prepare([*batch[:20], *batch[:5]]) == {ref for _, ref in batch[:20]}
        successor = TriggerHandler(rules, ledger, intake, runs, clock, patience_s=1)
        assert await successor.prepare(batch) == {ref for _, ref in batch[20:]}
        waiting, _ = await ledger.page(size=1, token=None, event_id=None, rule=None, status="pending")
        assert not [row for row in waiting if row.event_id in {event.id for event in events}]
        for event, ref in batch:
            await successor.handle(event, ref)
    await engine.dispose()
    for event in events:
        found = {run["idempotency_key"]: run["parameters"] for run in await prefect.runs_of(event)}
        expected = {"source_path": event.data["uri"]}
        assert found == {
            f"datalab:files:{dataset}/load:{event.id}": expected,
            f"datalab:checks:{dataset}/check:{event.id}": expected,
        }
