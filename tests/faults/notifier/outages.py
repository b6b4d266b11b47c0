"""Postgres and Kafka are killed and come back while alerts arrive; a notifier's clock is hours wrong."""

from __future__ import annotations

import os
import signal

from tests.faults.notifier.kills import Toll, missing_of
from tests.faults.notifier.lab import FaultLab
from tests.support.polling import eventually


async def restarted(lab: FaultLab, part: str, alerts: int) -> Toll:
    """The part is killed in the middle of the alerts; the lab's supervisor starts it again."""
    repeated = lab.alerts.repeated
    with lab.ready():
        await lab.subscribe(f"{lab.alerts.url}/{part}", ["lab.alert.*"])
        sent = await lab.publish(alerts // 2)
        pid = lab.state.parts[part].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        sent += await lab.publish(alerts - len(sent))
        await eventually(missing_of(lab, sent), until=lambda missing: missing == 0, within_s=120)
        await lab.settled()
    return Toll(1, alerts, await missing_of(lab, sent)(), lab.alerts.repeated - repeated)


async def clock_is_wrong(lab: FaultLab, shift_s: float, alerts: int) -> Toll:
    """What is due is the database's clock to say, so that a wrong one delays and loses nothing."""
    repeated = lab.alerts.repeated
    with lab.ready(CLOCK_SHIFT_S=str(shift_s)):
        await lab.subscribe(f"{lab.alerts.url}/clock", ["lab.alert.*"])
        sent = await lab.publish(alerts)
        await eventually(missing_of(lab, sent), until=lambda missing: missing == 0, within_s=60)
        await lab.settled()
    return Toll(1, alerts, await missing_of(lab, sent)(), lab.alerts.repeated - repeated)
