"""Postgres and Kafka are killed and come back while alerts arrive; a notifier's clock jumps by an hour."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from tests.faults.notifier.kills import missing_of
from tests.faults.notifier.lab import FaultLab
from tests.faults.notifier.toll import Toll, Tolls
from tests.support.polling import eventually


async def restarted(lab: FaultLab, part: str, alerts: int) -> Tolls:
    """The part is killed in the middle of the alerts; the lab's supervisor starts it again."""

    def kill(_: int) -> int:
        pid = lab.state.parts[part].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid

    return {f"{part.capitalize()} is killed and restarted": await _disturbed(lab, part, alerts, kill)}


async def clock_jumps(lab: FaultLab, shift_s: float, alerts: int) -> Tolls:
    """What is due is the database's clock to say, so that a wrong one delays and loses nothing."""
    name = f"the notifier's clock jumps {'ahead' if shift_s > 0 else 'back'} by {abs(shift_s) / 3600:g} h"
    toll = await _disturbed(lab, "clock", alerts, lambda pid: os.kill(pid, signal.SIGUSR1), CLOCK_SHIFT_S=str(shift_s))
    return {name: toll}


async def _disturbed(lab: FaultLab, name: str, alerts: int, disturb: Callable[[int], object], **environ: str) -> Toll:
    """Half of the alerts before, half after; `disturb` is given the notifier's process."""
    repeated = lab.alerts.repeated
    async with lab.ready(**environ) as process:
        await lab.subscribe(f"{lab.alerts.url}/{name}", ["lab.alert.*"])
        sent = await lab.publish(alerts // 2)
        begun = time.monotonic()
        disturb(process.pid)
        sent += await lab.publish(alerts - len(sent))
        await eventually(missing_of(lab, sent), until=lambda missing: missing == 0, within_s=120)
        await lab.settled()
    again = lab.alerts.repeated - repeated
    seen = f"all had come {time.monotonic() - begun:.0f} s later"
    return Toll(1, alerts, await missing_of(lab, sent)(), again, seen)
