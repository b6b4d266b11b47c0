"""Several batches are on their way to Postgres at a time: the alerts are those of one event after another, nobody
waits for nobody for ever, and what cannot be stored yet holds up its own partition alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from datalab.runtime.clock import SystemClock
from datalab.runtime.settings import PROJECT_ROOT
from datalab.store.engine import Sessions, create_engine, create_sessions
from datalab.store.tables.monitor import ConditionRow, EpisodeRow
from schemas.catalog import parse_data
from schemas.envelope import Event
from schemas.runs import RunCompleted, RunFailed
from services.monitor.effects import Effects
from services.monitor.identity import fingerprint
from services.monitor.reading import Occurrence
from services.monitor.rule_file import read_rules
from services.monitor.wording import Pages
from tests.integration.monitor.parts import Taps, monitor
from tests.support.lab_parts import fresh_database
from tests.support.monitor_events import quality_failed, quality_passed, run_event
from tests.support.polling import eventually

RULES = read_rules(PROJECT_ROOT / "config" / "alerts.yaml")
BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
MANY = 12
DATASETS = tuple(f"stocks-{number}" for number in range(6))


def effects_on(sessions: Sessions) -> Effects:
    return Effects(sessions, lambda: RULES, SystemClock(), pages=Pages("http://prefect"), changed=lambda: None)


@pytest.mark.parametrize("seed", range(2))
async def test_lanes_that_raise_what_others_end_wait_for_each_other_and_never_for_ever(
    sessions: Sessions, seed: int
) -> None:
    # No lane owns a dataset, as when a rule's label is not the key; nothing is stored of any yet.
    chance, effects = random.Random(seed), effects_on(sessions)
    lanes = [[batch(chance, number) for number in range(12)] for _ in range(4)]
    # A deadlock, or a row that another has stored meanwhile, would be raised here.
    await asyncio.gather(*(one_after_another(effects, lane) for lane in lanes))
    async with sessions() as session:
        open_ = select(EpisodeRow.fingerprint, func.count()).where(EpisodeRow.status == "firing")
        assert all(row[1] == 1 for row in await session.execute(open_.group_by(EpisodeRow.fingerprint)))


async def test_two_instances_lock_what_there_is_in_one_order(sessions: Sessions) -> None:
    known = [quality_passed(dataset, time=BEGIN - timedelta(hours=1)) for dataset in DATASETS]
    await effects_on(sessions).take(occurrences(known))
    chance = random.Random(7)
    lanes = [[batch(chance, number) for number in range(25)] for _ in range(4)]
    await asyncio.gather(*(one_after_another(effects_on(sessions), lane) for lane in lanes))


async def test_lanes_with_things_of_their_own_give_what_one_after_another_gives(
    sessions: Sessions, database_server: str
) -> None:
    chance = random.Random(11)
    lanes = [
        [occurrences([state(chance, lane, number) for number in range(n, n + 7)]) for n in range(0, 70, 7)]
        for lane in range(4)
    ]
    effects = effects_on(sessions)
    await asyncio.gather(*(one_after_another(effects, lane) for lane in lanes))
    engine = create_engine(await asyncio.to_thread(fresh_database, database_server))
    try:
        alone = create_sessions(engine)
        for occurrence in [o for lane in lanes for one in lane for o in one]:
            await effects_on(alone).take([occurrence])
        expected = await alerts(alone)
    finally:
        await engine.dispose()
    assert len(expected) > 20
    assert await alerts(sessions) == expected


async def test_what_cannot_be_stored_yet_holds_up_its_partition_alone(
    home: Path, kafka_bootstrap: str, database_server: str, taps: Taps, dataset: str
) -> None:
    url = await asyncio.to_thread(fresh_database, database_server)
    engine = create_engine(url)
    sessions = create_sessions(engine)
    with monitor(home, kafka_bootstrap, url, f"monitor-{dataset}") as running:
        await running.caught_up()
        await taps.publish(quality_passed(dataset))
        print_ = fingerprint("data-quality", {"dataset": dataset})
        row = select(ConditionRow).where(ConditionRow.fingerprint == print_)
        await eventually(lambda: count(sessions, print_), until=lambda rows: rows == 1)
        async with sessions.begin() as other:
            await other.execute(row.with_for_update())
            # One after another, and fetched so: more batches than there are on their way to Postgres at most.
            await taps.publish(*(quality_failed(dataset) for _ in range(MANY)))
            # Of another topic, so of another partition.
            await taps.publish(run_event(RunFailed, run=dataset, flow=dataset, deployment=None))
            assert len(await taps.until_alerts(1, flow=dataset)) == 1
            assert await taps.alerts(dataset=dataset) == []
            # What is not stored is not passed over.
            await eventually(running.lag, until=lambda lag: lag == MANY)
        assert len(await taps.until_alerts(1, dataset=dataset)) == 1
        await eventually(running.lag, until=lambda lag: lag == 0)
    await engine.dispose()


def batch(chance: random.Random, number: int) -> list[Occurrence]:
    """Some datasets are well and others not; which, is another thing each time."""
    events = []
    for dataset in chance.sample(DATASETS, 4):
        make = quality_failed if chance.random() < 0.5 else quality_passed
        events.append(make(dataset, time=BEGIN + timedelta(seconds=number, milliseconds=chance.randrange(1000))))
    return occurrences(events)


def state(chance: random.Random, lane: int, number: int) -> Event:
    """The end of a run of one of the lane's two deployments."""
    flow = f"etl-{lane}-{chance.randrange(2)}"
    model = RunFailed if chance.random() < 0.4 else RunCompleted
    at = BEGIN + timedelta(seconds=20 * number)
    return run_event(model, run=f"{lane}-{number}", flow=flow, deployment=f"{flow}/daily", time=at)


def occurrences(events: Sequence[Event]) -> list[Occurrence]:
    return [Occurrence(event, parse_data(event)) for event in events]


async def one_after_another(effects: Effects, batches: Sequence[Sequence[Occurrence]]) -> None:
    for one in batches:
        await effects.take(one)


async def alerts(sessions: Sessions) -> set[tuple[str, str | None]]:
    """The event that raised each alert, and the one that ended it."""
    async with sessions() as session:
        rows = (await session.execute(select(EpisodeRow))).scalars().all()
    return {(row.annotations["event_id"], row.annotations.get("resolved_by")) for row in rows}


async def count(sessions: Sessions, print_: str) -> int:
    async with sessions() as session:
        found = select(func.count()).where(ConditionRow.fingerprint == print_)
        return int((await session.execute(found)).scalar_one())
