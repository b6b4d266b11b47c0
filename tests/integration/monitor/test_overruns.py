"""Runs that take too long: told once while they run, over when they end, whatever happens in between."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from datalab.bus.publisher import RecordRef, RecordRefusedError
from datalab.runtime.clock import SystemClock
from datalab.runtime.settings import PROJECT_ROOT
from datalab.store.engine import Sessions
from datalab.store.tables.monitor import EpisodeRow
from schemas.envelope import Event, event_id, new_event
from schemas.runs import RunCancelled, RunCompleted, RunCrashed, RunFailed, RunOverrun, RunScheduled, RunStarted
from services.monitor.effects import Effects
from services.monitor.limit_changes import locked_switch, turn
from services.monitor.overruns import Overruns
from services.monitor.reading import Occurrence
from services.monitor.rule_file import read_rules
from services.monitor.runs import remember
from services.monitor.wording import Pages
from tests.integration.monitor.parts import Monitor, Taps, monitor
from tests.support.monitor_events import State, run_event
from tests.support.polling import eventually

OVERRUN = RunOverrun.type


class Job:
    """Runs of one deployment of its own, with a limit of its own."""

    def __init__(self, running: Monitor, taps: Taps, name: str) -> None:
        self.running, self.taps, self.deployment = running, taps, f"etl/{name}"

    def event(self, model: State, run: str, ago: float = 0.0, **data: object) -> Event:
        """A state of a run, as long ago as said; it started then too unless `started` says otherwise."""
        time = datetime.now(UTC) - timedelta(seconds=ago)
        return run_event(model, run=run, deployment=self.deployment, time=time, **data)

    def started(self, run: str, ago: float, *, first: float | None = None) -> Event:
        first_at = datetime.now(UTC) - timedelta(seconds=ago if first is None else first)
        return self.event(RunStarted, run, ago, start_time=first_at)

    async def limited(self, seconds: float) -> None:
        await self.taps.publish(self.event(RunScheduled, f"{self.deployment}-known"))
        await self.running.limit(self.deployment, seconds)

    async def look_again(self) -> None:
        """Return after everything published so far was handled and looked at."""
        marker = f"{self.deployment}-{datetime.now(UTC).timestamp()}"
        await self.taps.publish(self.started(marker, 10_000))
        await self.taps.until_alerts(1, run_id=marker)
        await self.taps.publish(self.event(RunCompleted, marker))
        await self.taps.until_alerts(2, run_id=marker)

    async def told(self, run: str) -> list[Event]:
        """The overruns of a run."""
        return [event for event in await self.taps.events("lab.runs", run) if event.type == OVERRUN]


@pytest.fixture(autouse=True)
async def _ready(running: Monitor) -> None:
    await running.caught_up()


@pytest.fixture
async def job(running: Monitor, taps: Taps, dataset: str) -> Job:
    return Job(running, taps, dataset)


async def test_a_run_that_takes_too_long_is_told_once_while_it_runs_and_its_alert_ends_with_it(
    job: Job, taps: Taps, running: Monitor, dataset: str
) -> None:
    await job.limited(1.5)
    started = job.started(dataset, 0.2)
    exceeded_at = datetime.fromisoformat(started.data["start_time"]) + timedelta(seconds=1.5)
    await taps.publish(started)

    [firing] = await taps.until_alerts(1, run_id=dataset)
    assert datetime.now(UTC) > exceeded_at
    assert firing.data["labels"] == {"flow": "etl", "deployment": job.deployment, "run_id": dataset}
    assert (firing.data["rule"], firing.data["severity"]) == ("flow-duration", "warning")
    assert firing.data["summary"] == f"Run brave-{dataset} of {job.deployment} takes longer than 1.5 s"
    assert datetime.fromisoformat(firing.data["starts_at"]) == exceeded_at
    [run] = (await running.get(f"/v1/runs?deployment={job.deployment}&state=RUNNING")).json()["runs"]
    assert (run["run_id"], run["limit_s"], run["event_id"]) == (dataset, 1.5, started.id)

    [overrun] = await job.told(dataset)
    assert (overrun.time, overrun.causationid, overrun.correlationid) == (exceeded_at, started.id, "the-file")
    assert firing.causationid == overrun.id

    completed = job.event(RunCompleted, dataset)
    await taps.publish(completed)
    await job.look_again()
    alerts = await taps.alerts(run_id=dataset)
    assert [(alert.type, alert.causationid) for alert in alerts] == [
        ("lab.alert.firing.v1", overrun.id),
        ("lab.alert.resolved.v1", completed.id),
    ]
    assert len(await job.told(dataset)) == 1


@pytest.mark.parametrize("end", [RunCompleted, RunFailed, RunCrashed, RunCancelled])
async def test_however_a_run_ends_its_alert_ends(job: Job, taps: Taps, dataset: str, end: State) -> None:
    await job.limited(50)
    await taps.publish(job.started(dataset, 100))
    await taps.until_alerts(1, run_id=dataset)
    await taps.publish(job.event(end, dataset))
    assert [alert.data["rule"] for alert in await taps.until_alerts(2, run_id=dataset)] == ["flow-duration"] * 2


async def test_a_run_without_a_deployment_has_the_limit_of_its_flow(running: Monitor, taps: Taps, dataset: str) -> None:
    await taps.publish(run_event(RunScheduled, run=f"{dataset}-known", flow=dataset, deployment=None))
    await running.limit(dataset, 50)
    begun = datetime.now(UTC) - timedelta(seconds=60)
    await taps.publish(run_event(RunStarted, run=dataset, flow=dataset, deployment=None, time=begun, start_time=begun))
    [firing] = await taps.until_alerts(1, run_id=dataset)
    assert firing.data["labels"] == {"flow": dataset, "run_id": dataset}
    await taps.publish(run_event(RunCompleted, run=dataset, flow=dataset, deployment=None))
    await taps.until_alerts(2, run_id=dataset)


async def test_a_run_that_ended_within_its_limit_leaves_no_alert_though_its_end_is_heard_late(
    job: Job, taps: Taps, dataset: str
) -> None:
    await job.limited(50)
    await taps.publish(job.started(dataset, 100))
    await taps.until_alerts(1, run_id=dataset)
    await taps.publish(job.event(RunCompleted, dataset, 90))
    await taps.until_alerts(2, run_id=dataset)


async def test_an_overrun_that_comes_after_the_end_raises_nothing(job: Job, taps: Taps, dataset: str) -> None:
    await job.limited(50)
    ended = f"{dataset}-ended"
    begun = datetime.now(UTC) - timedelta(seconds=100)
    overrun = RunOverrun(
        run_id=ended,
        run_name="late",
        flow="etl",
        deployment=job.deployment,
        start_time=begun,
        limit_s=50,
        exceeded_at=begun + timedelta(seconds=50),
    )
    late = new_event(overrun, source="tests", time=overrun.exceeded_at)
    await taps.publish(job.started(ended, 100), job.event(RunCompleted, ended, 90), late)
    await job.look_again()
    assert await taps.alerts(run_id=ended) == []


async def test_the_wait_for_a_retry_counts(job: Job, taps: Taps, dataset: str) -> None:
    await job.limited(50)
    await taps.publish(
        job.started(dataset, 100), job.event(RunScheduled, dataset, 60), job.started(dataset, 20, first=100)
    )
    [firing] = await taps.until_alerts(1, run_id=dataset)
    [overrun] = await job.told(dataset)
    assert datetime.now(UTC) - datetime.fromisoformat(overrun.data["start_time"]) > timedelta(seconds=99)
    assert firing.causationid == overrun.id


async def test_a_run_that_failed_and_was_started_again_counts_from_then(job: Job, taps: Taps, dataset: str) -> None:
    await job.limited(50)
    again = job.started(dataset, 20, first=100)
    await taps.publish(
        job.started(dataset, 100), job.event(RunFailed, dataset, 95), job.event(RunScheduled, dataset, 21), again
    )
    await job.look_again()
    assert await job.told(dataset) == []
    await job.limited(10)
    [firing] = await taps.until_alerts(1, run_id=dataset)
    [overrun] = await job.told(dataset)
    assert datetime.fromisoformat(overrun.data["start_time"]) == again.time
    [run] = (await job.running.get(f"/v1/runs?deployment={job.deployment}&state=RUNNING")).json()["runs"]
    assert (run["run_id"], run["end_time"], run["duration_s"]) == (dataset, None, None)
    assert firing.causationid == overrun.id


async def test_a_worker_whose_clock_is_an_hour_ahead_is_watched_from_when_its_run_is_heard_of(
    job: Job, taps: Taps, dataset: str
) -> None:
    await job.limited(1)
    await taps.publish(job.started(dataset, -3600))
    [firing] = await taps.until_alerts(1, run_id=dataset)
    assert datetime.fromisoformat(firing.data["starts_at"]) < datetime.now(UTC)
    await taps.publish(job.event(RunCompleted, dataset, -3605))
    await taps.until_alerts(2, run_id=dataset)


async def test_two_instances_one_of_them_killed_tell_every_run_once(
    home: Path, kafka_bootstrap: str, database_url: str, taps: Taps, dataset: str
) -> None:
    group, runs = f"monitor-{dataset}", [f"{dataset}-{n}" for n in range(20)]
    with (
        monitor(home, kafka_bootstrap, database_url, group, MONITOR_LOOK_EVERY_S="0.05") as first,
        monitor(home, kafka_bootstrap, database_url, group, MONITOR_LOOK_EVERY_S="0.05") as second,
    ):
        await first.ready()
        await second.ready()
        job = Job(second, taps, dataset)
        await job.limited(50)
        publishing = asyncio.create_task(taps.publish(*(job.started(run, 100) for run in runs)))
        await eventually(lambda: _firing(taps, dataset), until=lambda found: len(found) >= 5)
        first.kill()
        await publishing
        await eventually(lambda: _firing(taps, dataset), until=lambda found: set(found) == set(runs), within_s=60)
        await taps.publish(*(job.event(RunCompleted, run) for run in runs))
        await eventually(lambda: _resolved(taps, dataset), until=lambda found: set(found) == set(runs), within_s=60)
        await job.look_again()
        assert sorted(await _firing(taps, dataset)) == sorted(runs), "each once"
        assert sorted(await _resolved(taps, dataset)) == sorted(runs), "each once"
        for run in runs:
            assert len({event.id for event in await job.told(run)}) == 1


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


async def _firing(taps: Taps, prefix: str) -> list[str]:
    return await _runs(taps, prefix, "lab.alert.firing.v1")


async def _resolved(taps: Taps, prefix: str) -> list[str]:
    return await _runs(taps, prefix, "lab.alert.resolved.v1")


async def _runs(taps: Taps, prefix: str, type_: str) -> list[str]:
    """The runs that alerts of this type are about; a record with an id seen before is the same."""
    events = {event.id: event for event in await taps.alerts() if event.type == type_}.values()
    runs = [event.data["labels"].get("run_id", "") for event in events]
    return [run for run in runs if run.startswith(f"{prefix}-")]


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


async def statuses(sessions: Sessions, run: str) -> list[str]:
    """Of the alerts about a run."""
    query = select(EpisodeRow.status).where(EpisodeRow.labels["run_id"].astext == run)
    async with sessions() as session:
        return list((await session.execute(query)).scalars())
