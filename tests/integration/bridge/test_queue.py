"""What waits in the bridge: limits, further attempts, paused rules; in order, each once, across instances."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from httpx import ASGITransport

from datalab.bus.publisher import Publisher
from datalab.store.engine import Sessions, create_engine, create_sessions
from datalab.store.tables.bridge import TriggerRow
from schemas.envelope import Event
from services.bridge.app import Bridge
from services.bridge.ledger import Ledger
from services.bridge.pauses import Pauses
from services.bridge.replaying import replay
from services.bridge.rules import Rule, RuleBook, RuleSpec
from tests.integration.bridge.conftest import Bridges, PrefectLab, file_arrived, file_rule
from tests.integration.bridge.test_dead_letters import own_letters
from tests.support.polling import eventually


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = create_engine(database_url)
    yield create_sessions(engine)
    await engine.dispose()


async def row_of(sessions: Sessions, event: Event) -> TriggerRow | None:
    rows = await Ledger(sessions).chain(event.id)
    return rows[0] if rows else None


async def status_of(sessions: Sessions, event: Event) -> str | None:
    row = await row_of(sessions, event)
    return row.status if row else None


async def started(prefect: PrefectLab, events: list[Event]) -> list[str]:
    """The files whose run exists."""
    return [event.data["name"] for event in events if await prefect.runs_of(event)]


async def test_a_limit_holds_and_what_waits_comes_in_order_whichever_instance_starts_it(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, sessions: Sessions
) -> None:
    await prefect.deploy(f"{dataset}/load")
    limited = file_rule(dataset) | {"limits": {"active": 2}, "key": "event.data.format"}
    events = [file_arrived(dataset, f"{number}.csv") for number in range(7)]
    other = file_arrived(dataset, "other.csv")
    other = other.model_copy(update={"data": {**other.data, "format": "json"}})
    async with bridges.running(limited), bridges.running(limited):
        await publisher.publish_many([*events, *events[:3], other])  # with repeats
        await eventually(lambda: status_of(sessions, other), until=lambda status: status == "created")
        for ended in range(5):
            names = await eventually(
                lambda: started(prefect, events), until=lambda names, so_far=ended: len(names) == so_far + 2
            )
            assert names == [f"{number}.csv" for number in range(ended + 2)]
            (run,) = await prefect.runs_of(events[ended])
            await prefect.set_state(run["id"], "RUNNING")
            await prefect.set_state(run["id"], "COMPLETED")
        await eventually(lambda: started(prefect, events), until=lambda names: len(names) == 7)
    assert [len(await prefect.runs_of(event)) for event in events] == [1] * 7


async def test_what_waits_survives_the_bridge_and_is_started_once(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, sessions: Sessions
) -> None:
    await prefect.deploy(f"{dataset}/load")
    limited = file_rule(dataset) | {"limits": {"active": 1}}
    first, second = file_arrived(dataset, "1.csv"), file_arrived(dataset, "2.csv")
    async with bridges.running(limited):
        await publisher.publish_many([first, second])
        await eventually(lambda: status_of(sessions, second), until=lambda status: status == "waiting")
        (run,) = await eventually(lambda: prefect.runs_of(first))
    await prefect.set_state(run["id"], "COMPLETED")
    # The successor knows the rule without its limit; what waits is started all the same.
    async with bridges.running(file_rule(dataset)):
        await eventually(lambda: status_of(sessions, second), until=lambda status: status == "created")
    assert len(await prefect.runs_of(second)) == 1


async def test_a_failed_run_is_tried_again_and_dies_in_the_end_and_a_replay_starts_over(
    bridges: Bridges,
    prefect: PrefectLab,
    publisher: Publisher,
    dataset: str,
    sessions: Sessions,
    kafka_bootstrap: str,
) -> None:
    await prefect.deploy(f"{dataset}/load")
    retrying = file_rule(dataset) | {"on_failure": {"retries": 1, "delay": "100ms"}}
    event = file_arrived(dataset)

    async def runs(count: int) -> list[dict[str, Any]]:
        found = await eventually(lambda: prefect.runs_of(event), until=lambda runs: len(runs) == count)
        return sorted(found, key=lambda run: str(run["created"]))

    async with bridges.running(retrying):
        await publisher.publish(event)
        for attempt, state in ((1, "FAILED"), (2, "CRASHED")):
            run = (await runs(attempt))[-1]
            await prefect.set_state(run["id"], "RUNNING")
            await prefect.set_state(run["id"], state)
        (letter,) = await eventually(lambda: own_letters(kafka_bootstrap, bridges.group, event))
        first, second = await runs(2)
        assert second["idempotency_key"] == f"{first['idempotency_key']}:attempt-2"
        assert second["labels"]["datalab.attempt"] == 2
        assert "datalab.attempt=2" in second["tags"]
        assert second["parameters"] == first["parameters"]
        assert letter.reason == f"rule files: run {second['id']} CRASHED, and so did the 1 before it"
        assert letter.offset >= 0
        # The letter is stored before the row says so.
        row = await eventually(
            lambda: row_of(sessions, event), until=lambda row: row is not None and row.status == "dead"
        )
        assert row is not None
        assert (row.status, row.attempt) == ("dead", 2)

        await replay(letter, publisher, sessions)
        third = (await runs(3))[-1]
        assert third["idempotency_key"] == f"{first['idempotency_key']}:attempt-3"
        await prefect.set_state(third["id"], "COMPLETED")
        row = await eventually(
            lambda: row_of(sessions, event), until=lambda row: row is not None and row.run_state == "COMPLETED"
        )
        assert row is not None
        assert [earlier["state"] for earlier in row.earlier_runs] == ["FAILED", "CRASHED"]


async def test_a_rule_that_dead_letters_too_much_pauses_itself_and_its_change_resumes_it(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, sessions: Sessions
) -> None:
    await prefect.deploy(f"{dataset}/load")
    broken = file_rule(dataset, parameters={"source_path": "{{ event.data.nosuch }}"})
    broken["on_failure"] = {"pause_after": {"dead": 2, "within": "1h"}}
    events = [file_arrived(dataset, f"{number}.csv") for number in range(6)]
    async with bridges.running(broken, bridge_rules_poll_s=0.1) as bridge:
        for event in events:
            await publisher.publish(event)
        await eventually(lambda: status_of(sessions, events[-1]), until=lambda status: status == "waiting")
        assert [await status_of(sessions, event) for event in events] == ["dead"] * 3 + ["waiting"] * 3
        (rule,) = await rules_of(bridge)
        assert rule["paused"].startswith("3 dead letters within 1h")
        assert rule["waiting"] == 3
        bridges.settings([file_rule(dataset)])  # mended
        await eventually(lambda: started(prefect, events), until=lambda names: len(names) == 3)
        assert (await rules_of(bridge))[0]["paused"] is None
    assert await started(prefect, events) == ["3.csv", "4.csv", "5.csv"]


async def test_a_rule_is_paused_and_resumed_by_people(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, sessions: Sessions
) -> None:
    await prefect.deploy(f"{dataset}/load")
    event = file_arrived(dataset)
    async with bridges.running(file_rule(dataset)) as bridge, client(bridge) as http:
        answer = (await http.post("/v1/rules/files:pause", json={"reason": "maintenance"})).json()
        assert (answer["paused"], answer["reason"], answer["changed"]) == (True, "maintenance", True)
        assert not (await http.post("/v1/rules/files:pause", json={"reason": "again"})).json()["changed"]
        await publisher.publish(event)
        await eventually(lambda: status_of(sessions, event), until=lambda status: status == "waiting")
        await asyncio.gather(*(bridge.dispatcher.round() for _ in range(2)))
        assert await prefect.runs_of(event) == []
        assert (await http.post("/v1/rules/files:resume")).json() == {
            "paused": False, "reason": None, "since": None, "changed": True,
        }  # fmt: skip
        await eventually(lambda: prefect.runs_of(event))
        unknown = await http.post("/v1/rules/nosuch:resume")
        assert (unknown.status_code, "is not in force" in unknown.json()["detail"]) == (404, True)
    assert len(await prefect.runs_of(event)) == 1


async def test_a_pause_is_not_forgotten_by_a_look_that_began_before_it(
    publisher: Publisher, dataset: str, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = Rule.of(RuleSpec.model_validate(file_rule(dataset, f"r-{dataset}")), "test")
    pauses, book = Pauses(sessions, publisher), RuleBook([rule])
    read, changes = pauses._read, [pauses.pause(rule, "now"), pauses.resume(rule.name, "enough")]

    async def read_and_change() -> Any:
        found = await read()
        if changes:
            await changes.pop(0)
        return found

    monkeypatch.setattr(pauses, "_read", read_and_change)
    resumed = changes.pop()
    await pauses.refresh(book)
    assert (pause := pauses.of(rule.name)) is not None
    assert pause.reason == "now"
    changes.append(resumed)
    await pauses.refresh(book)
    assert pauses.of(rule.name) is None


def client(bridge: Bridge) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=ASGITransport(bridge.app), base_url="http://bridge")


async def rules_of(bridge: Bridge) -> list[dict[str, Any]]:
    async with client(bridge) as http:
        rules: list[dict[str, Any]] = (await http.get("/v1/rules")).json()["rules"]
    return rules
