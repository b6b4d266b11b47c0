"""What goes wrong while a story is told. Each case tells one of its own and counts its alerts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

from tests.faults.monitor.lab import MonitorLab, Toll, stopped
from tests.faults.monitor.stories import Story, flapping, odd_times, outages
from tests.support.killed_monitor import STEPS
from tests.support.monitor_events import degraded, recovered
from tests.support.polling import eventually

# A step that comes once for each alert is struck in the middle of them.
_TIMES = {"publish": 5}


async def killed_at_each_step(lab: MonitorLab, each: int, steps: Sequence[str] = STEPS, *, anew: bool = False) -> Toll:
    """A monitor dies at each step with some of the events, and the next goes on; with `anew`, from the beginning."""
    told = Story()
    for step in steps:
        if anew:
            lab.begin_anew()
        story = outages(each)
        told += story
        await lab.tell(story.heard)
        with lab.monitor(KILL_AT=f"{step}:{_TIMES.get(step, 1)}") as process:
            code = await asyncio.to_thread(process.process.wait, 120)
        assert code == -signal.SIGKILL, f"the monitor ended with {code} before the step {step!r}"
    if anew:
        lab.begin_anew()
    with lab.monitor() as last:
        await last.caught_up()
        return await lab.counted(told, len(steps))


async def rebalanced(lab: MonitorLab, changes: int, each: int) -> Toll:
    """One monitor stays; another joins and leaves, killed every third time. Events come all the while."""
    told = Story()
    with lab.monitor() as staying:
        await staying.ready()
        for number in range(changes // 2):
            with lab.monitor() as other:
                told += await _tell(lab, each)
                await other.ready()
                told += await _tell(lab, each)
                if number % 3 == 2:
                    other.kill()
        await staying.caught_up(120)
        return await lab.counted(told, changes)


async def broker_restarted(lab: MonitorLab, each: int) -> Toll:
    """The broker is killed with events on their way; the lab's supervisor starts it again."""
    with lab.monitor() as process:
        await process.ready()
        told = await _tell(lab, each)
        lab.part("kafka").kill()
        told += await _tell(lab, each)
        await process.caught_up(120)
        return await lab.counted(told)


async def at_odd_times(lab: MonitorLab, each: int) -> Toll:
    """Late by an hour, out of order, twice, from the future, near and far."""
    return await _told(lab, odd_times(each))


async def flaps(lab: MonitorLab) -> Toll:
    """A service that flaps each 2 s for ten minutes, by the times of its events, is one alert that says so."""
    story = flapping()
    toll = await _told(lab, story)
    (row,) = await lab.sql(
        "SELECT count(*) AS n, bool_and(annotations->>'flapping' IS NOT NULL) AS said "
        "FROM monitor_episodes WHERE labels->>'service' = $1",
        story.heard[0].data["service"],
    )
    assert (row["n"], row["said"]) == (1, True), f"{row['n']} episodes, marked as flapping: {row['said']}"
    return toll


async def resolved_without_kafka(lab: MonitorLab, count: int) -> Toll:
    """The broker stands still from when services are well again until after their alerts have ended."""
    story, down = Story(), [degraded(f"kafka-away-{number}") for number in range(count)]
    with lab.monitor() as process:
        await process.caught_up()
        await lab.tell(down)
        up = [recovered(event.data["service"]) for event in down]
        for pair in zip(down, up, strict=True):
            story.add(*pair)
        story.heard = [*down, *up]
        await lab.tell(up)
        await eventually(lambda: _held(lab), until=lambda held: held == count)
        with stopped(lab.part("kafka")):
            await eventually(lambda: _resolved(lab), until=lambda ended: ended == count, within_s=120)
        return await lab.counted(story)


async def clock_set_back(lab: MonitorLab, count: int) -> Toll:
    """The monitor's clock is an hour ahead, and is set right while services are down and while they settle."""
    story = Story()
    lab.clock.write_text("3600")
    with lab.monitor() as process:
        await process.caught_up()
        down = [degraded(f"clock-{number}") for number in range(count)]
        await lab.tell(down)
        await eventually(lambda: _open(lab, "clock-"), until=lambda n: n == count)
        lab.clock.write_text("0")
        up = [recovered(event.data["service"]) for event in down]
        for pair in zip(down, up, strict=True):
            story.add(*pair)
        story.heard = [*down, *up]
        await lab.tell(up)
        return await lab.counted(story)


async def _told(lab: MonitorLab, story: Story) -> Toll:
    await lab.tell(story.heard)
    with lab.monitor() as process:
        await process.caught_up()
        return await lab.counted(story)


async def _tell(lab: MonitorLab, count: int) -> Story:
    story = outages(count)
    await lab.tell(story.heard)
    return story


async def _held(lab: MonitorLab) -> int:
    (row,) = await lab.sql("SELECT count(*) AS n FROM monitor_conditions WHERE held_event IS NOT NULL")
    return int(row["n"])


async def _resolved(lab: MonitorLab) -> int:
    """Episodes that have ended and whose end is not published yet."""
    (row,) = await lab.sql(
        "SELECT count(*) AS n FROM monitor_episodes WHERE status = 'resolved' AND NOT resolved_published"
    )
    return int(row["n"])


async def _open(lab: MonitorLab, service: str) -> int:
    (row,) = await lab.sql(
        "SELECT count(*) AS n FROM monitor_episodes WHERE status = 'firing' AND labels->>'service' LIKE $1 || '%'",
        service,
    )
    return int(row["n"])
