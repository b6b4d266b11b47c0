"""States of real Prefect runs reach `lab.runs`: each once, in order, with their cause, whatever the relay suffers."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, text, update

from datalab.bus.publisher import Publisher
from datalab.bus.reader import read_events
from datalab.store.engine import create_engine, create_sessions
from datalab.store.tables.bridge import CursorRow, RunStateRow
from schemas.envelope import Event
from services.bridge.ledger import Ledger
from tests.integration.bridge.conftest import Bridges, PrefectLab, file_arrived, file_rule
from tests.support.polling import eventually


async def told_of(bootstrap: str, run_id: str) -> list[Event]:
    return [event async for _, event in read_events(bootstrap, ["lab.runs"]) if event.data["run_id"] == run_id]


def kinds(events: list[Event]) -> list[str]:
    return [event.type.removeprefix("lab.run.").removesuffix(".v1") for event in events]


async def test_states_are_told_once_in_order_with_their_cause(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, kafka_bootstrap: str, database_url: str
) -> None:
    await prefect.deploy(f"{dataset}/load")
    event = file_arrived(dataset)
    engine = create_engine(database_url)
    async with bridges.running(file_rule(dataset)), bridges.running(file_rule(dataset)):  # one of them relays
        await publisher.publish(event)
        run_id = (await eventually(lambda: prefect.runs_of(event)))[0]["id"]
        await eventually(lambda: told_of(kafka_bootstrap, run_id), until=lambda e: kinds(e) == ["scheduled"])
        for state in ("PENDING", "RUNNING", "FAILED"):
            await prefect.set_state(run_id, state, "it went wrong" if state == "FAILED" else None)
        told = await eventually(lambda: told_of(kafka_bootstrap, run_id), until=lambda e: "failed" in kinds(e))
        (row,) = await eventually(
            lambda: Ledger(create_sessions(engine)).chain(event.id), until=lambda rows: rows[0].run_finished
        )
        assert row.run_state == "FAILED"
    assert kinds(told) == ["scheduled", "started", "failed"]
    assert {(e.causationid, e.correlationid, e.source) for e in told} == {(event.id, event.id, "/prefect")}
    failed = told[-1].data
    assert (failed["flow"], failed["deployment"], failed["message"]) == (dataset, f"{dataset}/load", "it went wrong")
    assert failed["parameters"] == {"source_path": "file:///landing/a%20b.csv"}
    assert failed["duration_s"] >= 0

    # A restart that looks back over everything tells nothing twice.
    async with create_sessions(engine).begin() as session:
        await session.execute(update(CursorRow).values(position=CursorRow.position - timedelta(hours=1)))
    async with bridges.running(file_rule(dataset)):
        await publisher.publish(later := file_arrived(dataset, "later.csv"))
        later_id = (await eventually(lambda: prefect.runs_of(later)))[0]["id"]
        await eventually(lambda: told_of(kafka_bootstrap, later_id))
        assert kinds(await told_of(kafka_bootstrap, run_id)) == ["scheduled", "started", "failed"]
    await engine.dispose()


async def test_what_happens_while_the_bridge_is_away_is_told_when_it_is_back(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, kafka_bootstrap: str, database_url: str
) -> None:
    await prefect.deploy(f"{dataset}/load")
    event = file_arrived(dataset)
    async with bridges.running(file_rule(dataset)):
        await publisher.publish(event)
        run_id = (await eventually(lambda: prefect.runs_of(event)))[0]["id"]
        await eventually(lambda: told_of(kafka_bootstrap, run_id))
    for state in ("RUNNING", "COMPLETED"):
        await prefect.set_state(run_id, state)
    engine = create_engine(database_url)
    async with create_sessions(engine).begin() as session:
        # As if Prefect's own events of it were lost: only the run itself still knows.
        await session.execute(update(CursorRow).values(position=CursorRow.position + timedelta(hours=1)))
    async with bridges.running(file_rule(dataset)):
        await eventually(lambda: told_of(kafka_bootstrap, run_id), until=lambda e: "completed" in kinds(e))
    assert kinds(await told_of(kafka_bootstrap, run_id)) == ["scheduled", "started", "completed"]
    async with create_sessions(engine).begin() as session:
        await session.execute(delete(CursorRow))
    await engine.dispose()


async def test_a_state_that_was_stored_but_not_published_goes_out_after_the_crash(
    bridges: Bridges, prefect: PrefectLab, dataset: str, kafka_bootstrap: str, database_url: str
) -> None:
    """The run is nobody's trigger: somebody started it by hand, and it is told of all the same."""
    deployment = await prefect.deploy(f"{dataset}/load")
    run_id = await prefect.start(deployment)
    await prefect.set_state(run_id, "RUNNING")
    async with bridges.running(file_rule(dataset)):
        first = await eventually(lambda: told_of(kafka_bootstrap, run_id), until=lambda e: len(e) == 2)
    assert kinds(first) == ["scheduled", "started"]
    assert {e.causationid for e in first} == {None}
    engine = create_engine(database_url)
    async with create_sessions(engine).begin() as session:
        query = update(RunStateRow).where(RunStateRow.event_id == first[1].id).values(published_at=None)
        await session.execute(query)
    async with bridges.running(file_rule(dataset)):
        again = await eventually(lambda: told_of(kafka_bootstrap, run_id), until=lambda e: len(e) == 3)
    assert [e.id for e in again] == [first[0].id, first[1].id, first[1].id]
    async with engine.connect() as connection:
        left = await connection.scalar(text("SELECT count(*) FROM bridge_run_states WHERE published_at IS NULL"))
    await engine.dispose()
    assert left == 0


async def test_a_run_that_is_deleted_ends_in_the_ledger(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, database_url: str
) -> None:
    await prefect.deploy(f"{dataset}/load")
    event = file_arrived(dataset)
    engine = create_engine(database_url)
    async with bridges.running(file_rule(dataset)):
        await publisher.publish(event)
        run_id = (await eventually(lambda: prefect.runs_of(event)))[0]["id"]
        await prefect.call("DELETE", f"/flow_runs/{run_id}")
        (row,) = await eventually(
            lambda: Ledger(create_sessions(engine)).chain(event.id), until=lambda rows: rows[0].run_finished
        )
    await engine.dispose()
    assert (row.status, row.run_state) == ("created", "DELETED")
