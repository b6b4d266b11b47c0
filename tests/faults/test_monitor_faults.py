"""The monitor killed, kept waiting, told in any order: a short version of `make faults-monitor`."""

from __future__ import annotations

from pathlib import Path

from tests.faults.monitor import cases
from tests.faults.monitor.lab import monitor_lab


async def test_no_alert_is_missed_or_doubled_whatever_is_killed_or_late(tmp_path: Path) -> None:
    async with monitor_lab(tmp_path) as lab:
        tolls = [
            await cases.killed_at_each_step(lab, 10, steps=("decide", "publish", "commit"), anew=True),
            await cases.at_odd_times(lab, 3),
            await cases.resolved_without_kafka(lab, 3),
        ]
    assert [(toll.missed, toll.doubled) for toll in tolls] == [(0, 0)] * 3
