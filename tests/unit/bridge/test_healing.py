"""When a bridge gives itself up, and when it does not."""

from __future__ import annotations

import pytest

from datalab.runtime.health import Health
from services.bridge.healing import Healing, StuckError
from tests.support.clocks import StandingClock


class Parts:
    """What the bridge does and what it needs, each well or with a reason."""

    def __init__(self) -> None:
        self.progress: str | None = None
        self.prefect: str | None = None
        self.clock = StandingClock()
        doing, needs = Health(), Health()
        doing.check("kafka", self._progress)
        needs.check("prefect", self._prefect)
        self.healing = Healing(doing, needs, self.clock, after_s=60)

    async def _progress(self) -> str | None:
        return self.progress

    async def _prefect(self) -> str | None:
        return self.prefect

    async def after(self, seconds: float) -> None:
        self.clock.seconds += seconds
        await self.healing.check()


async def test_no_progress_for_long_while_all_answers_is_the_end() -> None:
    parts = Parts()
    parts.progress = "stuck on lab.files[0]@7"
    await parts.after(0)
    await parts.after(59)
    with pytest.raises(StuckError, match=r"no progress for 61 s .* kafka: stuck on lab\.files\[0\]@7"):
        await parts.after(2)


async def test_an_outage_is_waited_for_and_counts_for_nothing() -> None:
    parts = Parts()
    parts.progress, parts.prefect = "stuck", "does not answer"
    for _ in range(10):
        await parts.after(60)
    parts.prefect = None
    await parts.after(1)
    await parts.after(59)


async def test_progress_begins_the_count_anew() -> None:
    parts = Parts()
    for progress in ("stuck", "stuck", None, "stuck", "stuck"):
        parts.progress = progress
        await parts.after(40)
    parts.progress = "stuck"
    with pytest.raises(StuckError):
        await parts.after(40)
