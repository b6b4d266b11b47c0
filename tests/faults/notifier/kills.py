"""The notifier is killed at each step of its work, with alerts on their way: none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from tests.faults.notifier.lab import FaultLab
from tests.support.killed_notifier import STEPS
from tests.support.polling import eventually

# Where a step happens once for a whole batch the first time is the one; the others are struck in the middle.
_TIMES = {"send": 10, "sent": 10}


class Toll(NamedTuple):
    """What a scenario cost: cases that were tried, alerts that were published, alerts that no receiver got, and ids
    that a receiver got more than once."""

    cases: int
    alerts: int
    lost: int
    duplicated_ids: int


async def killed_at_each_step(lab: FaultLab, alerts: int, steps: Sequence[str] = STEPS) -> Toll:
    """A share of the alerts before each kill, the rest after the last."""
    with lab.ready():
        await lab.subscribe(f"{lab.alerts.url}/alerts", ["lab.alert.*"])
    share, sent = alerts // (len(steps) + 1), list[str]()
    for step in steps:
        sent += await lab.publish(share)
        await _killed(lab, step)
        await lab.balance()
    sent += await lab.publish(alerts - len(sent))
    with lab.notifier(NOTIFIER_GROUP=_group("last")):
        await eventually(missing_of(lab, sent), until=lambda missing: missing == 0, within_s=120)
        await lab.settled()
    for webhook_id, count in lab.alerts.ids.items():
        assert count <= 1 + len(steps), f"{webhook_id} came {count} times with {len(steps)} kills"
    return Toll(len(steps), alerts, await missing_of(lab, sent)(), lab.alerts.repeated)


async def _killed(lab: FaultLab, step: str) -> None:
    """Run a notifier until it dies at this step. A group of its own reads every alert again: what is stored already
    must not be stored twice, and nothing has to wait for the dead member's session to end."""
    with lab.notifier(KILL_AT=f"{step}:{_TIMES.get(step, 1)}", NOTIFIER_GROUP=_group(step)) as process:
        code = await asyncio.to_thread(process.wait, 60)
    assert code == -9, f"the notifier ended with {code} before the step {step!r}"


def missing_of(lab: FaultLab, sent: Sequence[str]) -> Callable[[], Awaitable[int]]:
    """Asks how many of these alerts no receiver has."""

    async def missing() -> int:
        return sum(event not in lab.alerts.events for event in sent)

    return missing


def _group(step: str) -> str:
    return f"notifier-{step}"
