"""Overruns in the store: under one id whatever Kafka does, and over by what is stored of their run."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from datalab.bus.publisher import RecordRef, RecordRefusedError
from datalab.runtime.clock import SystemClock
from datalab.runtime.settings import PROJECT_ROOT
from datalab.store.engine import Sessions
from datalab.store.tables.monitor import EpisodeRow
from schemas.envelope import Event, event_id, new_event
from schemas.runs import RunCompleted, RunOverrun, RunStarted
from services.monitor.effects import Effects
from services.monitor.limit_changes import locked_switch, turn
from services.monitor.overruns import Overruns
from services.monitor.reading import Occurrence
from services.monitor.rule_file import read_rules
from services.monitor.runs import remember
from services.monitor.wording import Pages
from tests.support.monitor_events import run_event


async def test_an_overrun_is_stored_before_it_is_published_and_published_again_under_its_id(
    sessions: Sessions, dataset: str
) -> None:
    begun = await run_for(sessions, dataset, timedelta(hours=3))
    broker = Broker(answers=False)

    with pytest.raises(ConnectionError):
        await overruns(sessions, broker).look()
    assert dataset in broker.tried
    broker.answers = True
    broker.may_answer.clear()
    first = asyncio.create_task(overruns(sessions, broker).look())
    await asyncio.wait_for(broker.asked.wait(), 10)
    # While one instance publishes, the others neither publish the same nor wait for it.
    await asyncio.wait_for(asyncio.gather(*(overruns(sessions, broker).look() for _ in range(3))), 10)
    broker.may_answer.set()
    await first
    await overruns(sessions, broker).look()

    ids = [event.id for event in broker.taken if event.subject == dataset]
    assert ids == [event_id("run-overrun", dataset, begun.isoformat(), "3600")]
    assert await overruns(sessions, broker).check() is None


async def test_an_overrun_whose_acknowledgement_was_lost_comes_again_under_its_id(
    sessions: Sessions, dataset: str
) -> None:
    await run_for(sessions, dataset, timedelta(hours=3))
    broker = Broker(answers=True, forgets=True)
    with pytest.raises(ConnectionError):
        await overruns(sessions, broker).look()
    broker.forgets = False
    await overruns(sessions, broker).look()
    await overruns(sessions, broker).look()
    ids = [event.id for event in broker.taken if event.subject == dataset]
    assert (len(ids), len(set(ids))) == (2, 1)


async def test_a_rule_that_is_switched_off_tells_nothing_until_it_is_on_again(sessions: Sessions, dataset: str) -> None:
    await run_for(sessions, dataset, timedelta(hours=3))
    broker = Broker(answers=True)
    await switch("flow-duration", sessions, enabled=False)
    await overruns(sessions, broker).look()
    assert dataset not in broker.tried
    await switch("flow-duration", sessions, enabled=True)
    await overruns(sessions, broker).look()
    assert dataset in broker.tried


async def test_one_overrun_that_kafka_refuses_does_not_hold_up_the_others(sessions: Sessions, dataset: str) -> None:
    refused, taken = f"{dataset}-refused", f"{dataset}-taken"
    for run in (refused, taken):
        await run_for(sessions, run, timedelta(hours=3))
    broker = Broker(answers=True, refuses=refused)
    with pytest.raises(RecordRefusedError):
        await overruns(sessions, broker).look()
    assert taken in [event.subject for event in broker.taken]
    broker.refuses = ""
    await overruns(sessions, broker).look()
    assert [event.subject for event in broker.taken].count(taken) == 1
    assert broker.taken[-1].subject == refused


async def test_an_alert_whose_end_was_stored_unseen_is_ended_by_the_runs_newest_state(
    sessions: Sessions, dataset: str
) -> None:
    rules = read_rules(PROJECT_ROOT / "config" / "alerts.yaml")
    effects = Effects(sessions, lambda: rules, SystemClock(), pages=Pages("http://prefect"), changed=lambda: None)
    begun = await run_for(sessions, dataset, timedelta(hours=3))
    overrun = RunOverrun(
        run_id=dataset, run_name=dataset, flow="etl", deployment="etl/daily", start_time=begun, limit_s=60,
        exceeded_at=begun + timedelta(seconds=60),
    )  # fmt: skip
    told = new_event(overrun, source="tests", id=f"overrun-{dataset}", time=overrun.exceeded_at)
    await effects.take([Occurrence(told, overrun)])
    await effects.release()
    assert await statuses(sessions, dataset) == ["firing"]

    # As another instance would store it at the same moment.
    ended = run_event(RunCompleted, run=dataset, duration_s=1.0)
    async with sessions.begin() as session:
        await remember(session, [Occurrence(ended, RunCompleted.model_validate(ended.data))], datetime.now(UTC))
    assert await statuses(sessions, dataset) == ["firing"]
    await effects.release()
    assert await statuses(sessions, dataset) == ["resolved"]


async def run_for(sessions: Sessions, run: str, length: timedelta) -> datetime:
    """Store a run that runs for so long; returns its start."""
    begun = datetime.now(UTC) - length
    started = run_event(RunStarted, run=run, time=begun, start_time=begun)
    async with sessions.begin() as session:
        await remember(session, [Occurrence(started, RunStarted.model_validate(started.data))], datetime.now(UTC))
    return begun


async def switch(rule: str, sessions: Sessions, *, enabled: bool) -> None:
    async with sessions.begin() as session:
        turn(await locked_switch(session, rule, datetime.now(UTC)), enabled, datetime.now(UTC))


def overruns(sessions: Sessions, broker: Broker) -> Overruns:
    """As an instance looks for them."""
    rules = read_rules(PROJECT_ROOT / "config" / "alerts.yaml")
    return Overruns(sessions, broker, lambda: rules, SystemClock())


class Broker:
    """A broker that is away, or takes everything but what it refuses; it may forget to say so."""

    def __init__(self, *, answers: bool, refuses: str = "", forgets: bool = False) -> None:
        self.answers, self.refuses, self.forgets = answers, refuses, forgets
        self.tried, self.taken = list[str](), list[Event]()
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()

    async def publish(self, event: Event) -> RecordRef:
        self.tried.append(str(event.subject))
        if not self.answers:
            raise ConnectionError("no broker answers")
        if event.subject == self.refuses:
            raise RecordRefusedError("too large")
        self.asked.set()
        await self.may_answer.wait()
        self.taken.append(event)
        if self.forgets:
            raise ConnectionError("no answer")
        return RecordRef("lab.runs", 0, len(self.taken))


async def statuses(sessions: Sessions, run: str) -> list[str]:
    """Of the alerts about a run."""
    query = select(EpisodeRow.status).where(EpisodeRow.labels["run_id"].astext == run)
    async with sessions() as session:
        return list((await session.execute(query)).scalars())
