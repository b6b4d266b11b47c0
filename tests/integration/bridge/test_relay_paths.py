"""The relay's two paths, its outbox and its lead: each alone does what it is there for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from datalab.bus.publisher import Publisher
from datalab.store.engine import create_engine
from schemas.envelope import Event, new_event
from schemas.runs import RunStarted
from services.bridge.relay_lead import Leadership
from services.bridge.relay_outbox import Outbox, RunNews
from services.bridge.relay_states import state_event_id
from tests.integration.bridge.conftest import Bridges, PrefectLab, file_rule
from tests.integration.bridge.test_run_states import kinds, told_of
from tests.support.polling import eventually

_SELDOM = {"bridge_relay_poll_s": 600.0, "bridge_relay_look_s": 600.0}


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


def gaps_repaired() -> float:
    return REGISTRY.get_sample_value("bridge_gaps_repaired_total") or 0.0


async def test_what_prefect_puts_on_kafka_is_told_without_any_look(
    bridges: Bridges, prefect: PrefectLab, dataset: str, kafka_bootstrap: str
) -> None:
    deployment = await prefect.deploy(f"{dataset}/load")
    async with bridges.running(file_rule(dataset), **_SELDOM):
        first = await prefect.start(deployment)
        # The one look at the start reads what all tests before have left in Prefect.
        await eventually(lambda: told_of(kafka_bootstrap, first), within_s=150)
        run_id = await prefect.start(deployment)
        await prefect.set_state(run_id, "SCHEDULED", name="Late")
        for state in ("PENDING", "RUNNING", "COMPLETED"):
            await prefect.set_state(run_id, state, "done" if state == "COMPLETED" else None)
        told = await eventually(lambda: told_of(kafka_bootstrap, run_id), until=lambda e: "completed" in kinds(e))
    states = await prefect.call("GET", f"/flow_run_states/?flow_run_id={run_id}")
    assert kinds(told) == ["scheduled", "late", "started", "completed"]
    assert [event.id for event in told] == [
        state_event_id(run_id, state["id"]) for state in states if state["type"] != "PENDING"
    ]
    assert [event.time for event in told] == [
        datetime.fromisoformat(state["timestamp"]) for state in states if state["type"] != "PENDING"
    ]
    assert (told[-1].data["message"], told[-1].data["deployment"]) == ("done", f"{dataset}/load")


async def test_a_server_whose_kafka_does_not_answer_works_and_stores_its_events(lonely_api: str) -> None:
    async with httpx.AsyncClient(base_url=lonely_api, trust_env=False, timeout=60) as client:
        prefect = PrefectLab(client)
        run_id = await prefect.start(await prefect.deploy("lonely/load"))
        query = {"filter": {"any_resource": {"id": [f"prefect.flow-run.{run_id}"]}}}

        async def stored() -> Any:
            return (await prefect.call("POST", "/events/filter", query))["events"]

        (event,) = await eventually(stored)
    assert event["event"] == "prefect.flow-run.Scheduled"


async def test_where_prefect_puts_nothing_on_kafka_the_look_finds_it_and_counts_it(
    bridges: Bridges, lonely_api: str, dataset: str, kafka_bootstrap: str
) -> None:
    async with httpx.AsyncClient(base_url=lonely_api, trust_env=False, timeout=60) as client:
        prefect = PrefectLab(client)
        deployment = await prefect.deploy(f"{dataset}/load")
        before = await prefect.start(deployment)
        ended = time.monotonic()

        async def is_a_gap() -> bool:
            # What is younger when it is found may be on its way by Kafka, for all that the look knows.
            return time.monotonic() > ended + 4

        await eventually(is_a_gap)
        gaps = gaps_repaired()
        async with bridges.running(file_rule(dataset), prefect_api_url=lonely_api):
            assert kinds(await eventually(lambda: told_of(kafka_bootstrap, before))) == ["scheduled"]
            run_id = await prefect.start(deployment)
            for state in ("RUNNING", "COMPLETED"):
                await prefect.set_state(run_id, state)
            told = await eventually(lambda: told_of(kafka_bootstrap, run_id), until=lambda e: "completed" in kinds(e))
    assert kinds(told) == ["scheduled", "started", "completed"]
    assert gaps_repaired() > gaps


def started(run_id: str, name: str) -> Event:
    data = RunStarted(
        run_id=run_id, run_name=name, flow="f", deployment="f/d", state_id="s", state_type="RUNNING",
        state_name="Running", occurred_at=datetime.now(UTC), parameters={}, tags=[],
    )  # fmt: skip
    return new_event(data, source="/test", id=state_event_id(run_id, "s"))


async def test_a_state_that_kafka_refuses_for_ever_is_marked_and_holds_up_no_other(
    engine: AsyncEngine, publisher: Publisher, dataset: str, kafka_bootstrap: str
) -> None:
    refused, fine = started(f"{dataset}-1", "x" * 1_500_000), started(f"{dataset}-2", "x")
    outbox = Outbox(engine, publisher)
    await outbox.add([RunNews(event.data["run_id"], "RUNNING", False, [event]) for event in (refused, fine)])
    await outbox.publish_pending()
    assert [event.id for event in await told_of(kafka_bootstrap, f"{dataset}-2")] == [fine.id]
    assert await told_of(kafka_bootstrap, f"{dataset}-1") == []
    async with engine.connect() as connection:
        query = text("SELECT refused FROM bridge_run_states WHERE event_id = :id AND published_at IS NOT NULL")
        assert "MessageSizeTooLarge" in (await connection.scalar(query, {"id": refused.id}) or "")


async def test_one_leads_until_its_session_ends(engine: AsyncEngine) -> None:
    first, second = Leadership(engine), Leadership(engine)
    # A session that is closed ends a moment later: that of the bridge before, and further down those of these two.
    await eventually(first.held)
    assert [await second.held(), await first.held()] == [False, True]
    async with engine.begin() as connection:
        here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ended = f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND {here}"
        await connection.execute(text(ended))
    await eventually(second.held)
    with pytest.raises(DBAPIError):
        await first.held()
    assert not await first.held()
    await second.give_up()
    await eventually(first.held)
    await first.give_up()
