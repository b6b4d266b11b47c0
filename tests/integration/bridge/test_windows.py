"""Rules on several events: one run for each window, whichever instance and however often events come; by the clock
where none comes any more; also after a restart."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select, update

from datalab.bus.publisher import Publisher
from datalab.store.engine import Sessions, create_engine, create_sessions
from datalab.store.tables.bridge import TriggerEventRow, TriggerRow, WindowRow
from schemas.datasets import DatasetUpdated
from schemas.envelope import Event, new_event
from services.bridge.app import Bridge
from services.bridge.ledger import Ledger
from services.bridge.replaying import replay
from tests.integration.bridge.conftest import Bridges, PrefectLab, file_arrived, file_rule
from tests.integration.bridge.test_dead_letters import own_letters
from tests.support.polling import eventually

_NAMES = "{{ events | map(attribute='data.name') | sort | join(' ') }}"


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = create_engine(database_url)
    yield create_sessions(engine)
    await engine.dispose()


def window_rule(dataset: str, when: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Loads all files of a window in one run; the parameter has their names."""
    return file_rule(dataset, f"w-{dataset}", parameters={"source_path": _NAMES}) | {"when": when} | more


async def rows_of(sessions: Sessions, dataset: str) -> list[TriggerRow]:
    async with sessions() as session:
        query = select(TriggerRow).where(TriggerRow.rule == f"w-{dataset}").order_by(TriggerRow.created_at)
        return list(await session.scalars(query))


async def loaded(sessions: Sessions, dataset: str) -> list[str]:
    """What the runs of the rule have loaded."""
    return [row.parameters["source_path"] for row in await rows_of(sessions, dataset) if row.status == "created"]


async def test_batches_are_shared_by_instances_and_know_repeats(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, sessions: Sessions
) -> None:
    await prefect.deploy(f"{dataset}/load")
    batches = window_rule(dataset, {"batch": {"count": 3, "within": "1s"}}, key="event.data.format")
    events = [file_arrived(dataset, f"{number}.csv") for number in range(7)]
    # A second group stands for an instance that still handles what another one was given.
    async with bridges.running(batches), bridges.running(batches, bridge_group=f"{bridges.group}-zombie"):
        await publisher.publish_many([*events, *events])
        texts = await eventually(
            lambda: loaded(sessions, dataset), until=lambda texts: len(" ".join(texts).split()) >= 7
        )
    assert Counter(" ".join(texts).split()) == Counter(event.data["name"] for event in events)
    assert max(len(text.split()) for text in texts) == 3
    rows = await rows_of(sessions, dataset)
    assert len({row.flow_run_id for row in rows}) == len(rows)
    for event in events:
        (row,) = await Ledger(sessions).chain(event.id)  # each of a window's events leads to its trigger
        assert event.data["name"] in row.parameters["source_path"].split()


async def test_a_window_survives_the_bridge_and_closes_by_the_clock(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, sessions: Sessions
) -> None:
    await prefect.deploy(f"{dataset}/load")
    calm = window_rule(dataset, {"debounce": {"after": "12s"}})
    async with bridges.running(calm) as bridge:
        await ready(bridge)
        events = [file_arrived(dataset, f"{number}.csv") for number in range(2)]
        await publisher.publish_many(events)
        await eventually(lambda: collected(sessions, dataset), until=lambda count: count == 2)
    assert await rows_of(sessions, dataset) == []
    async with bridges.running(calm):
        await eventually(lambda: loaded(sessions, dataset), until=lambda texts: texts == ["0.csv 1.csv"])
    (run,) = await prefect.runs_of(events[1])
    assert run["parameters"] == {"source_path": "0.csv 1.csv"}


async def ready(bridge: Bridge) -> None:
    """Windows are about times of events. Those of a test begin once it only takes a moment to take them in: an event
    that is older than its window is long is alone in it."""

    async def has_caught_up() -> bool:
        return bridge.consuming.has_caught_up

    await eventually(has_caught_up)


async def collected(sessions: Sessions, dataset: str) -> int:
    async with sessions() as session:
        query = select(TriggerEventRow.event_id).where(TriggerEventRow.rule == f"w-{dataset}")
        return len((await session.scalars(query)).all())


async def test_what_a_window_leaves_out_has_its_reason_and_what_does_not_follow_is_noticed(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, sessions: Sessions
) -> None:
    await prefect.deploy(f"{dataset}/load")
    first, second = file_arrived(dataset, "1.csv"), file_arrived(dataset, "2.csv")
    async with bridges.running(window_rule(dataset, {"throttle": {"within": "1h"}})):
        await publisher.publish_many([first, second])
        rows = await eventually(lambda: rows_of(sessions, dataset), until=lambda rows: settled(rows) == 2)
    assert [(row.event_id, row.status) for row in rows] == [(first.id, "created"), (second.id, "suppressed")]
    assert rows[1].reason == "throttled: 1 within 1h have their run"

    # The same rule with another `when`: it now wants to know what was not refined.
    awaits = {"absence": {"of": {"on": ["lab.dataset.updated.v1"]}, "within": "10s"}}
    async with bridges.running(window_rule(dataset, awaits, key="event.data.dataset")) as bridge:
        await ready(bridge)
        followed, alone = file_arrived(dataset, "3.csv"), file_arrived(dataset, "4.csv")
        await publisher.publish(followed)
        await eventually(lambda: collected(sessions, dataset), until=lambda count: count == 3)
        await publisher.publish(updated_after(followed, dataset))
        await publisher.publish(alone.model_copy(update={"time": followed.time + timedelta(seconds=2)}))
        rows = await eventually(lambda: rows_of(sessions, dataset), until=lambda rows: settled(rows) == 4)
    told = {row.event_id: (row.status, row.reason) for row in rows[2:]}
    assert told[alone.id] == ("created", None)
    assert told[followed.id][0] == "suppressed"
    assert str(told[followed.id][1]).startswith("followed by ")


async def test_what_followed_while_no_bridge_ran_has_followed(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, sessions: Sessions
) -> None:
    await prefect.deploy(f"{dataset}/load")
    awaits = {"absence": {"of": {"on": ["lab.dataset.updated.v1"]}, "within": "12s"}}
    rule = window_rule(dataset, awaits, key="event.data.dataset")
    async with bridges.running(rule) as bridge:
        await ready(bridge)
        event = file_arrived(dataset)
        await publisher.publish(event)
        await eventually(lambda: collected(sessions, dataset), until=lambda count: count == 1)
    await publisher.publish(updated_after(event, dataset))

    async def is_over() -> bool:
        return datetime.now(UTC) > event.time + timedelta(seconds=13)

    await eventually(is_over)
    async with bridges.running(rule):
        (row,) = await eventually(lambda: rows_of(sessions, dataset), until=lambda rows: settled(rows) == 1)
    assert (row.status, str(row.reason)[:12]) == ("suppressed", "followed by ")


def settled(rows: list[TriggerRow]) -> int:
    return sum(row.status in ("created", "suppressed") for row in rows)


def updated_after(event: Event, dataset: str) -> Event:
    data = DatasetUpdated(dataset=dataset, layer="gold", table="/lake/gold/t", version=1, rows_in=1, rows_written=1)
    return new_event(data, source="/test", time=event.time + timedelta(seconds=1))


async def test_conditions_on_two_topics_are_met_together_and_what_has_no_company_has_no_run(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, sessions: Sessions
) -> None:
    await prefect.deploy(f"{dataset}/load")
    both = {"all": {"of": [{}, {"on": ["lab.dataset.updated.v1"]}], "within": "10s"}}
    files = window_rule(dataset, both, key="event.data.dataset")
    files["run"]["parameters"] = {"source_path": "{{ events | map(attribute='type') | sort | join(' ') }}"}
    met, alone = file_arrived(dataset, "1.csv"), file_arrived(dataset, "2.csv")
    async with bridges.running(files):
        await publisher.publish_many([met, updated_after(met, dataset)])
        await eventually(lambda: rows_of(sessions, dataset), until=lambda rows: settled(rows) == 1)
        await publisher.publish(alone.model_copy(update={"time": datetime.now(UTC)}))
        rows = await eventually(lambda: rows_of(sessions, dataset), until=lambda rows: settled(rows) == 2)
    assert rows[0].parameters == {"source_path": "lab.dataset.updated.v1 lab.file.arrived.v1"}
    assert (rows[1].event_id, rows[1].status) == (alone.id, "suppressed")
    assert str(rows[1].reason).startswith("incomplete")


async def test_a_windows_run_that_cannot_be_is_dead_with_all_its_events_and_starts_over_by_one_of_them(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, sessions: Sessions, kafka_bootstrap: str
) -> None:
    pairs = window_rule(dataset, {"batch": {"count": 2}})
    events = [file_arrived(dataset, f"{number}.csv") for number in range(2)]
    async with bridges.running(pairs, bridge_deployment_patience_s=0.0):
        await publisher.publish_many(events)
        letters = [
            (await eventually(partial(own_letters, kafka_bootstrap, bridges.group, event)))[0] for event in events
        ]
        assert all("is not registered" in letter.reason for letter in letters)
        # The letters are stored before the row says so.
        await eventually(
            lambda: rows_of(sessions, dataset), until=lambda rows: [row.status for row in rows] == ["dead"]
        )
        await prefect.deploy(f"{dataset}/load")
        await replay(letters[0], publisher, sessions)
        await eventually(lambda: loaded(sessions, dataset), until=lambda texts: texts == ["0.csv 1.csv"])
    assert len(await rows_of(sessions, dataset)) == 1


async def test_what_no_repeat_can_ask_for_any_more_is_forgotten_and_nothing_else(
    bridges: Bridges, prefect: PrefectLab, publisher: Publisher, dataset: str, sessions: Sessions
) -> None:
    await prefect.deploy(f"{dataset}/load")
    once = window_rule(dataset, {"once": {"per": "1d"}}, key="event.data.name")
    first, again, open_run = (file_arrived(dataset, name) for name in ("a.csv", "a.csv", "b.csv"))
    async with bridges.running(once) as bridge:
        await publisher.publish_many([first, again, open_run])
        rows = await eventually(lambda: rows_of(sessions, dataset), until=lambda rows: settled(rows) == 3)
        done = next(row for row in rows if row.event_id == first.id)
        assert done.flow_run_id is not None
        await prefect.set_state(done.flow_run_id, "COMPLETED")
        await eventually(lambda: rows_of(sessions, dataset), until=lambda rows: any(row.run_finished for row in rows))
        assert (await bridge.pruning.prune_events(), await bridge.pruning.prune_windows()) == (0, 0)
        old = datetime.now(UTC) - timedelta(days=91)
        async with sessions.begin() as session:
            mine = TriggerEventRow.rule == f"w-{dataset}"
            await session.execute(update(TriggerEventRow).where(mine).values(created_at=old))
            key = (WindowRow.rule == f"w-{dataset}") & (WindowRow.key == "a.csv")
            await session.execute(update(WindowRow).where(key).values(updated_at=old))
        # The run of the third event has not ended, and its key is not old.
        assert (await bridge.pruning.prune_events(), await bridge.pruning.prune_windows()) == (2, 1)
    async with sessions() as session:
        left = select(TriggerEventRow.event_id).where(TriggerEventRow.rule == f"w-{dataset}")
        assert list(await session.scalars(left)) == [open_run.id]
        keys = select(WindowRow.key).where(WindowRow.rule == f"w-{dataset}")
        assert list(await session.scalars(keys)) == ["b.csv"]
    assert len(await rows_of(sessions, dataset)) == 3, "triggers stay"
