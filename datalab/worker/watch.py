"""Keeping an eye on the processes of runs: what they print, what they use, and ending those that must end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from uuid import UUID

from prefect._internal.attempt_control import Intent
from prefect.runner._control_channel import ControlChannel, ControlSignalStatus

from datalab.worker.attempt import Attempt
from datalab.worker.usage import bury, memory_by_session

_ROUND_S = 0.25


class Watch:
    """The attempts of a worker. `foreign` gives processes whose end somebody else waits for."""

    def __init__(self, control: ControlChannel, foreign: Callable[[], set[int]], say: Callable[[str], None]) -> None:
        self._control, self._foreign, self._say = control, foreign, say
        self.attempts: dict[UUID, Attempt] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Look at all of them, again and again."""
        while True:
            for attempt in list(self.attempts.values()):
                attempt.pump(_print)
            leaders = {attempt.pid: attempt for attempt in self.attempts.values()}
            if leaders:
                memory = memory_by_session(leaders)
                for pid, attempt in leaders.items():
                    self._judge(attempt, memory.get(pid, 0))
            bury(leaders.keys() | self._foreign())
            await asyncio.sleep(_ROUND_S)

    def last_words(self, attempt: Attempt) -> None:
        """Pass on what it printed up to its end."""
        attempt.pump(_print, at_end=True)

    async def cancel(self, attempt: Attempt) -> None:
        """End it as cancelled; its engine runs the hooks and reports, if it still can."""
        if attempt.cancelled:
            return
        attempt.cancelled = True
        status = await self._control.signal(attempt.flow_run_id, "cancel")
        if status is ControlSignalStatus.ALREADY_CONCLUDED:
            return
        self._say(f"cancelling run {attempt.name}, process {attempt.pid}")
        # One that does not know why it gets the signal would report a crash.
        understood = status is ControlSignalStatus.ACKNOWLEDGED
        await attempt.end(grace_s=attempt.limits.grace_s if understood else 0)

    def _judge(self, attempt: Attempt, memory_bytes: int) -> None:
        broken = attempt.judge(memory_bytes)
        if broken is not None:
            self._say(f"ending run {attempt.name}: {broken}")
            over_time = memory_bytes <= attempt.limits.memory_bytes
            task = asyncio.create_task(self._end(attempt, politely=over_time))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _end(self, attempt: Attempt, *, politely: bool) -> None:
        grace_s = 0.0
        if politely:
            # By this word the engine leaves the state to us, who know the reason.
            intent: Intent = "relinquish"
            status = await self._control.signal(attempt.flow_run_id, intent)
            if status is ControlSignalStatus.ALREADY_CONCLUDED:
                return
            grace_s = attempt.limits.grace_s if status is ControlSignalStatus.ACKNOWLEDGED else 0.0
        await attempt.end(grace_s=grace_s)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
