"""The supervisor: starts the parts as their needs allow, keeps them alive, and stops them in reverse order.

It writes the lab's state file and owns the watchdog. It prints nothing and knows no command line.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from datalab.local.marked import LAB_MARK, PART_MARK, end_marked
from datalab.local.parts.base import Lab, Part
from datalab.local.plan import levels
from datalab.local.runner import PartFailedError, PartRunner
from datalab.local.state import LabState, PartStatus
from datalab.runtime.logs import get_logger
from datalab.runtime.settings import PROJECT_ROOT

log = get_logger(__name__)
_SAVE_INTERVAL = 0.1
_HEARTBEAT = 5.0


class Supervisor:
    """Runs the parts of one lab. The caller holds the lab's lock for as long as `run` goes on."""

    def __init__(self, lab: Lab, parts: Sequence[Part], state: LabState) -> None:
        self.state = state
        self._lab = lab
        self._stopping = asyncio.Event()
        self._dirty = True
        self._started = time.monotonic()
        self._runners = {part.name: self._runner(part) for part in parts}
        self._lifeline: int | None = None

    def request_stop(self) -> None:
        """Make `run` stop all parts and return. May be called from a signal handler of the loop."""
        self._stopping.set()

    async def run(self) -> bool:
        """Start everything, stay until a stop is asked for, stop everything; False if a part never came up."""
        await asyncio.to_thread(end_marked, self.state.lab_id)
        self._save()
        background = [asyncio.create_task(self._keep_watchdog()), asyncio.create_task(self._keep_state())]
        parts = self._start_parts()
        try:
            failure = await self._until_stop(parts)
        finally:
            await self._stop_parts(parts)
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await asyncio.to_thread(end_marked, self.state.lab_id)
            self._let_watchdog_go()
        self._conclude(failure)
        return failure is None

    def _runner(self, part: Part) -> PartRunner:
        status = PartStatus(
            part.name,
            ports={name: self._lab.ports[name] for name in part.ports},
            url=part.url(self._lab),
            log=str(self._lab.layout.log(part.name)),
        )
        self.state.parts[part.name] = status
        return PartRunner(part, self._lab, status, self._mark_dirty)

    def _start_parts(self) -> list[asyncio.Task[None]]:
        return [
            asyncio.create_task(
                runner.run([self._runners[need].was_ready for need in runner.part.needs if need in self._runners]),
                name=name,
            )
            for name, runner in self._runners.items()
        ]

    async def _until_stop(self, parts: Sequence[asyncio.Task[None]]) -> BaseException | None:
        """Wait for a stop or a failure; returns the failure."""
        all_ready = asyncio.create_task(self._note_ready())
        stop = asyncio.create_task(self._stopping.wait())
        pending: set[asyncio.Task[object]] = {all_ready, stop, *parts}
        try:
            while not stop.done():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if (error := task.exception()) is not None:
                        return error
            return None
        finally:
            all_ready.cancel()
            stop.cancel()

    async def _note_ready(self) -> None:
        for runner in self._runners.values():
            await runner.was_ready.wait()
        self.state.phase = "ready"
        self.state.ready_seconds = round(time.monotonic() - self._started, 2)
        log.info("lab.ready", seconds=self.state.ready_seconds)
        self._save()

    async def _stop_parts(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        self.state.phase = "stopping"
        self._save()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        order = levels({name: runner.part.needs for name, runner in self._runners.items()})
        for names in reversed(order):
            await asyncio.gather(*(self._runners[name].stop() for name in names))
            # What a worker's flow runs use must not go before they have.
            await asyncio.to_thread(end_marked, self.state.lab_id, parts=set(names))

    def _conclude(self, failure: BaseException | None) -> None:
        self.state.phase = "stopped" if failure is None else "failed"
        if isinstance(failure, PartFailedError):
            self.state.failure = {"part": failure.part, "reason": failure.reason, "log_tail": failure.log_tail}
            self.state.parts[failure.part].state = "failed"
            self.state.parts[failure.part].reason = failure.reason
        elif failure is not None:
            log.error("supervisor.failed", exc_info=failure)
            reason = f"{type(failure).__name__}: {failure}"
            self.state.failure = {"part": "supervisor", "reason": reason, "log_tail": []}
        self._save()

    async def _keep_watchdog(self) -> None:
        """Have a watchdog at all times; a killed one is replaced."""
        while True:
            process = self._start_watchdog()
            self.state.watchdog_pid = process.pid
            self._mark_dirty()
            while process.poll() is None:  # noqa: ASYNC110 - an exit code has no event
                await asyncio.sleep(0.25)
            log.warning("watchdog.died", exit_code=process.returncode)

    def _start_watchdog(self) -> subprocess.Popen[bytes]:
        reader, writer = os.pipe()
        env = {key: value for key, value in os.environ.items() if key not in (LAB_MARK, PART_MARK)}
        with os.fdopen(reader, "rb") as stdin, self._lab.layout.log("watchdog").open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own module
                [
                    *(sys.executable, "-m", "datalab.local.watchdog", self.state.lab_id),
                    *(str(self._lab.layout.lock_file), str(os.getpid())),
                ],
                stdin=stdin,
                stdout=output,
                stderr=output,
                cwd=PROJECT_ROOT,
                env=env,
                start_new_session=True,
            )
        self._let_watchdog_go()
        self._lifeline, self._watchdog = writer, process
        return process

    def _let_watchdog_go(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
            with suppress(subprocess.TimeoutExpired):
                self._watchdog.wait(timeout=10)

    async def _keep_state(self) -> None:
        saved = time.monotonic()
        while True:
            await asyncio.sleep(_SAVE_INTERVAL)
            if self._dirty or time.monotonic() - saved > _HEARTBEAT:
                self._save()
                saved = time.monotonic()

    def _mark_dirty(self) -> None:
        self._dirty = True

    def _save(self) -> None:
        self._dirty = False
        self.state.save(self._lab.layout)
