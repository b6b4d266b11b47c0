"""The worker as Prefect knows it: `prefect worker start --pool POOL --type warm-process`.

It starts, watches and ends the processes of runs (`launch`, `watch`, `endings`); polling, heartbeats, limits of
concurrency and the pool's form are Prefect's `BaseWorker`. Told to end, it takes no more runs, waits a little for those
that run, and leaves the rest to go on and to report by themselves, as they do when it is killed; its successor of the
same name and host watches them again (`recovery`).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio
import anyio.abc
from prefect.exceptions import InfrastructureNotAvailable, InfrastructureNotFound
from prefect.runner._control_channel import ControlChannel
from prefect.workers.base import BaseWorkerResult

from datalab.worker import announcements, figures, recovery
from datalab.worker.attempt import Attempt, Limits
from datalab.worker.claiming import ClaimingWorker
from datalab.worker.configuration import WarmJobConfiguration, WarmVariables
from datalab.worker.endings import Endings
from datalab.worker.identity import claim, infrastructure_id, local_pid
from datalab.worker.launch import Launcher, UnwantedError
from datalab.worker.protocol import Ended
from datalab.worker.settings import WORKER_TYPE, WorkerSettings
from datalab.worker.usage import adopt_orphans
from datalab.worker.warm_parent import Started
from datalab.worker.watch import Watch

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

_ACKNOWLEDGED_S = 5.0
_CANCEL_POLL_S = 5.0


class WarmProcessResult(BaseWorkerResult):
    """That a run's process has ended and its end is reported; the status is therefore always 0."""


class WarmProcessWorker(ClaimingWorker[WarmJobConfiguration, WarmVariables, WarmProcessResult]):
    """Runs in processes forked from a parent that has imported everything."""

    type = WORKER_TYPE
    job_configuration = WarmJobConfiguration
    job_configuration_variables = WarmVariables
    _display_name = "Warm process"
    _description = (
        "Execute flow runs in processes forked from a parent that has already imported Prefect and the flows."
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._lab = WorkerSettings()
        self._control = ControlChannel(ack_timeout=_ACKNOWLEDGED_S)
        self._launcher = Launcher(self._lab, self._control, self._say)
        self._watch = Watch(self._control, self._launcher.pids, self._say)
        self._endings = Endings(self._control, self._say)
        self._cancelled_early: set[UUID] = set()
        self._following = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: set[asyncio.Task[None]] = set()

    # Life

    async def setup(self) -> None:
        """Prefect's set-up, then ours."""
        adopt_orphans()
        await self._exit_stack.enter_async_context(self._control)
        await super().setup()
        self._spawn(self._watch.run())

    async def teardown(self, *exc_info: Any) -> None:
        """Wait a little for the runs, then leave them alone."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(self._lab.farewell_s):
            await self._idle.wait()
        for attempt in self._watch.attempts.values():
            self._say(f"run {attempt.name} goes on by itself, as process {attempt.pid}")
        for task in self._tasks:
            task.cancel()
        self._launcher.close()
        await super().teardown(*exc_info)

    async def _initialize_after_sync(self) -> None:
        first = not self._has_successfully_synced
        await super()._initialize_after_sync()
        if first and self._has_successfully_synced:
            self._spawn(self._begin())

    async def _begin(self) -> None:
        """What needs a server that answers."""
        told_as = figures.known_as(self.name, self._work_pool_name, type(self).__name__)
        self._spawn(figures.tell(self._lab.kafka_bootstrap_servers, told_as, self._launcher.pids, self._say))
        self._spawn(self._poll_when_due())
        self._spawn(self._poll_cancellations())
        self._spawn(
            announcements.listen(
                self.work_pool.id,
                due=self._due.set,
                cancelling=lambda run: self._spawn(self._cancel_run(run)),
                say=self._say,
            )
        )
        self._launcher.expect(await recovery.deployments_of(self.client, self._work_pool_name))
        self._spawn(self._launcher.warm_up())
        runs = await recovery.left_behind(
            self.client, self._work_pool_name, self.name, claim(self.name), self._submitting_flow_run_ids
        )
        await recovery.resume(runs, self.client, watch=self._resume, say=self._say)
        self._due.set()

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended_task)

    def _ended_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._logger.error("A task of the worker failed: %s", error, exc_info=error)

    async def _setup_cancellation_observer(self) -> None:
        """Prefect's own observer is for runs without a process; `announcements` serves all, by one connection."""

    def _say(self, line: str) -> None:
        self._logger.info("%s", line)

    async def _poll_cancellations(self) -> None:
        while True:
            await asyncio.sleep(_CANCEL_POLL_S)
            if self._watch.attempts:
                with contextlib.suppress(Exception):  # this is the safety net; it comes again
                    for flow_run_id in await recovery.cancelling(self.client, set(self._watch.attempts)):
                        self._spawn(self._cancel_run(flow_run_id))

    # Runs

    async def _submit_run(self, flow_run: FlowRun) -> None:
        try:
            await super()._submit_run(flow_run)
        finally:
            self._cancelled_early.discard(flow_run.id)

    async def _give_worker_labels_to_flow_run(self, flow_run_id: UUID) -> None:
        """As Prefect's, but the run does not wait for it."""
        self._spawn(super()._give_worker_labels_to_flow_run(flow_run_id))

    async def run(
        self,
        flow_run: FlowRun,
        configuration: WarmJobConfiguration,
        task_status: anyio.abc.TaskStatus[Any] | None = None,
    ) -> WarmProcessResult:
        """Start the run's process and return when it has ended and its end is reported."""
        status = task_status or anyio.TASK_STATUS_IGNORED
        try:
            launched = await self._launcher.launch(
                flow_run, configuration, wanted=lambda: flow_run.id not in self._cancelled_early
            )
        except UnwantedError:
            status.started(None)
            return WarmProcessResult(status_code=0, identifier="never started")
        with launched.resources:
            limits = Limits.of(configuration.memory_limit_mib, configuration.time_limit_s, configuration.grace_s)
            attempt = Attempt(
                flow_run.id,
                flow_run.name,
                launched.started,
                limits,
                launched.output,
                streams=configuration.stream_output,
            )
            status.started(infrastructure_id(attempt.pid))
            await self._follow(attempt, configuration)
        return WarmProcessResult(status_code=0, identifier=infrastructure_id(attempt.pid))

    async def _follow(self, attempt: Attempt, configuration: WarmJobConfiguration) -> None:
        self._following += 1
        self._idle.clear()
        try:
            await self._to_its_end(attempt, configuration)
        finally:
            self._following -= 1
            if not self._following:
                self._idle.set()

    async def _to_its_end(self, attempt: Attempt, configuration: WarmJobConfiguration) -> None:
        self._watch.attempts[attempt.flow_run_id] = attempt
        if attempt.flow_run_id in self._cancelled_early:
            self._spawn(self._watch.cancel(attempt))
        try:
            ended = await attempt.wait()
        finally:
            self._watch.attempts.pop(attempt.flow_run_id, None)

        async def hooks(flow_run: FlowRun, state: str, message: str) -> None:
            await self._launcher.run_hooks(flow_run, configuration, state, message)

        self._watch.last_words(attempt)
        await self._endings.report(
            self.client,
            attempt,
            ended,
            crash=self._propose_crashed_state,
            cancel=self._mark_flow_run_as_cancelled,
            hooks=hooks,
        )

    async def _resume(self, flow_run: FlowRun, pid: int | None) -> None:
        """Watch a run that an earlier worker started; without a process, report it."""
        configuration = await self.job_configuration.resolve_for_flow_run(
            flow_run,
            client=self.client,
            work_pool=self.work_pool,
            worker_name=self.name,
            worker_id=self.backend_id,
        )
        started = Started(pid or 0)
        started.ended.set_result(None if pid else Ended(None))
        limits = Limits.of(configuration.memory_limit_mib, configuration.time_limit_s, configuration.grace_s)
        self._spawn(self._follow(Attempt(flow_run.id, flow_run.name, started, limits, None), configuration))

    # Ending runs

    async def _cancel_run(self, flow_run_id: UUID) -> None:
        attempt = self._watch.attempts.get(flow_run_id)
        if attempt is not None:
            await self._watch.cancel(attempt)
        elif flow_run_id in self._submitting_flow_run_ids:
            self._cancelled_early.add(flow_run_id)
            await super()._cancel_run(flow_run_id)

    async def kill_infrastructure(
        self, infrastructure_pid: str, configuration: WarmJobConfiguration, grace_seconds: int = 30
    ) -> None:
        """End a run's process by its entry in Prefect's records; raises as `BaseWorker` says."""
        pid = local_pid(infrastructure_pid)
        if pid is None:
            raise InfrastructureNotAvailable(f"{infrastructure_pid} is on another host")
        for attempt in list(self._watch.attempts.values()):
            if attempt.pid == pid:
                await attempt.end(grace_s=grace_seconds)
                return
        raise InfrastructureNotFound(f"no run of this worker is process {pid}")
