"""Two monitors watch the same runs, and one of them is killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from schemas.runs import RunCompleted
from tests.integration.monitor.jobs import Job
from tests.integration.monitor.parts import Taps, monitor
from tests.support.polling import eventually


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
        await eventually(lambda: _firing(taps, dataset), until=lambda found: set(found) == set(runs), within_s=120)
        await taps.publish(*(job.event(RunCompleted, run) for run in runs))
        await eventually(lambda: _resolved(taps, dataset), until=lambda found: set(found) == set(runs), within_s=120)
        await job.look_again()
        assert sorted(await _firing(taps, dataset)) == sorted(runs), "each once"
        assert sorted(await _resolved(taps, dataset)) == sorted(runs), "each once"
        for run in runs:
            assert len({event.id for event in await job.told(run)}) == 1


async def _firing(taps: Taps, prefix: str) -> list[str]:
    return await _runs(taps, prefix, "lab.alert.firing.v1")


async def _resolved(taps: Taps, prefix: str) -> list[str]:
    return await _runs(taps, prefix, "lab.alert.resolved.v1")


async def _runs(taps: Taps, prefix: str, type_: str) -> list[str]:
    """The runs that alerts of this type are about; a record with an id seen before is the same."""
    events = {event.id: event for event in await taps.alerts() if event.type == type_}.values()
    runs = [event.data["labels"].get("run_id", "") for event in events]
    return [run for run in runs if run.startswith(f"{prefix}-")]
