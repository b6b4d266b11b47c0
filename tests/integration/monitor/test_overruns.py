"""Runs that take too long: told once while they run, over when they end, whatever happens in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schemas.envelope import new_event
from schemas.runs import RunCancelled, RunCompleted, RunCrashed, RunFailed, RunOverrun, RunScheduled, RunStarted
from tests.integration.monitor.jobs import Job
from tests.integration.monitor.parts import Monitor, Taps
from tests.support.monitor_events import State, run_event


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
    ended = f"{dataset}-ended"
    # Both are known before there is a limit: a look between the two would find a run that is over it.
    await taps.publish(job.started(ended, 100), job.event(RunCompleted, ended, 90))
    await job.look_again()
    await job.limited(50)
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
    await taps.publish(late)
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
    again = job.started(dataset, 20, first=100)
    # All are known before there is a limit: a look between the first two would find a run that is over it.
    await taps.publish(
        job.started(dataset, 100), job.event(RunFailed, dataset, 95), job.event(RunScheduled, dataset, 21), again
    )
    await job.look_again()
    await job.limited(50)
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
