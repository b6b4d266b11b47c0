"""What shows only that something is well is remembered without being decided; alerts are the same as if it were."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from datalab.runtime.clock import SystemClock
from datalab.runtime.settings import PROJECT_ROOT
from datalab.store.engine import Sessions
from datalab.store.tables.monitor import EpisodeRow
from schemas.catalog import parse_data
from schemas.envelope import Event
from services.monitor import episodes
from services.monitor.advance import Bearing, Trouble, advance, case_of
from services.monitor.criteria import BAD, GOOD
from services.monitor.effects import Effects
from services.monitor.reading import Occurrence
from services.monitor.rule_file import read_rules
from services.monitor.wording import Pages
from tests.support.monitor_events import quality_failed, quality_passed
from tests.support.polling import eventually

RULES = read_rules(PROJECT_ROOT / "config" / "alerts.yaml")
[RULE] = [rule for rule in RULES.rules if rule.name == "data-quality"]
BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
Alerts = set[tuple[str, str | None]]


@pytest.fixture
def effects(sessions: Sessions) -> Effects:
    return Effects(sessions, lambda: RULES, SystemClock(), pages=Pages("http://prefect"), changed=lambda: None)


@pytest.mark.parametrize("seed", range(6))
async def test_however_events_fall_into_batches_the_alerts_are_those_of_one_after_another(
    effects: Effects, sessions: Sessions, seed: int
) -> None:
    chance = random.Random(seed)
    events = [made(chance, number) for number in range(80)]
    left = [Occurrence(event, parse_data(event)) for event in [*events, *chance.sample(events, 10)]]
    one_by_one = told([event for event, _ in left])
    while left:
        size = chance.randint(1, 12)
        await effects.take(left[:size])
        del left[:size]
    assert len(one_by_one) > 5
    assert await stored(sessions) == one_by_one


async def test_an_end_that_comes_while_another_instance_decides_ends_what_that_one_raises(
    effects: Effects, sessions: Sessions
) -> None:
    now = datetime.now(UTC)
    failed = quality_failed("stocks", time=now - timedelta(seconds=5))
    passed = quality_passed("stocks", time=now)
    async with sessions.begin() as other:
        bearing = Bearing(RULE, failed, BAD, failed.time)
        await episodes.apply(other, [bearing], now=now, pages=Pages("http://prefect"))
        taking = asyncio.create_task(effects.take([Occurrence(passed, parse_data(passed))]))
        await eventually(lambda: waits(sessions))
    await taking
    assert await stored(sessions) == {(failed.id, passed.id)}


def made(chance: random.Random, number: int) -> Event:
    """Of one of three datasets; heard up to half a minute late."""
    at = BEGIN + timedelta(seconds=10 * number - chance.randrange(30))
    make = quality_failed if chance.random() < 0.4 else quality_passed
    return make(f"stocks-{chance.randrange(3)}", time=at)


def told(events: Sequence[Event]) -> Alerts:
    """By the pure decisions: the event that raised each alert, and the one that ended it."""
    troubles, raised, ended = dict[str, Trouble](), dict[str, str](), dict[str, str]()
    for event in events:
        case = case_of(Bearing(RULE, event, GOOD if event.type in RULE.resolved_by else BAD, event.time))
        step = advance(case, troubles.get(case.fingerprint, Trouble()), seen=case.episode in raised)
        troubles[case.fingerprint] = step.trouble
        if step.ended is not None:
            ended[step.ended[0]] = step.ended[1].id
        if step.begins:
            raised[case.episode] = event.id
    return {(cause, ended.get(episode)) for episode, cause in raised.items()}


async def stored(sessions: Sessions) -> Alerts:
    """The same, as Postgres has it."""
    async with sessions() as session:
        rows = (await session.execute(select(EpisodeRow))).scalars().all()
    return {(row.annotations["event_id"], row.annotations.get("resolved_by")) for row in rows}


async def waits(sessions: Sessions) -> int:
    """How many wait for a lock."""
    async with sessions() as session:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return int((await session.execute(text(query))).scalar_one())
