"""The notifier is killed at each step of its work, with alerts on their way: none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tests.faults.notifier.lab import FaultLab
from tests.faults.notifier.toll import Toll, Tolls
from tests.support.killed_notifier import STEPS
from tests.support.polling import eventually

# In the middle of the alerts: some steps happen for each of them, others for a batch.
_TIMES = {"receive": 2, "store": 2, "stored": 2, "commit": 1, "claim": 3, "send": 50, "sent": 50, "record": 3}


async def killed_at_each_step(lab: FaultLab, alerts: int, steps: Sequence[str] = STEPS) -> Tolls:
    """So many alerts for each kill; all notifiers are of one group, so that an offset that moved too soon is a loss."""
    async with lab.ready():
        await lab.subscribe(f"{lab.alerts.url}/alerts", ["lab.alert.*"])
    return {f"killed: {STEPS[step]}": await _killed_at(lab, step, alerts) for step in steps}


async def _killed_at(lab: FaultLab, step: str, alerts: int) -> Toll:
    repeated, sent = lab.alerts.repeated, await lab.publish(alerts)
    missing = missing_of(lab, sent)
    await killed(lab, f"{step}:{_TIMES.get(step, 2)}")
    before = alerts - await missing()
    await lab.balance()
    with lab.notifier():
        await eventually(missing, until=lambda left: left == 0, within_s=120)
        await lab.settled()
    lab.alerts.judge()
    return Toll(1, alerts, await missing(), lab.alerts.repeated - repeated, f"{before} had come when it died")


async def killed(lab: FaultLab, at: str, **environ: str) -> None:
    """Run a notifier until it dies at this step (`STEP:N`, its N-th time)."""
    with lab.notifier(KILL_AT=at, **environ) as process:
        code = await asyncio.to_thread(process.wait, 90)
    assert code == -9, f"the notifier ended with {code} before {at}"


def missing_of(lab: FaultLab, sent: Sequence[str]) -> Callable[[], Awaitable[int]]:
    """Asks how many of these alerts no receiver has."""

    async def missing() -> int:
        return sum(event not in lab.alerts.events for event in sent)

    return missing
