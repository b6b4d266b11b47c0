"""Starting the process of a run: by a zygote that has its flow imported, or else by a new interpreter."""

from __future__ import annotations

import os
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prefect.runner._control_channel import ControlChannel

from datalab.worker.configuration import Placement, WarmJobConfiguration, flow_directory, zygote_environment
from datalab.worker.output import RunOutput
from datalab.worker.protocol import Job
from datalab.worker.settings import WorkerSettings
from datalab.worker.warm_parent import Started, StartError, WarmParent
from datalab.worker.warm_parents import WarmParents

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

_TRIES = 3


class UnwantedError(RuntimeError):
    """The run was cancelled while it waited for its process."""


@dataclass(frozen=True)
class Launched:
    """A started process, its output, and what must be released when it has ended."""

    started: Started
    output: RunOutput
    resources: ExitStack


class Launcher:
    """Chooses the parent of each run. `say` takes a line for the worker's log."""

    def __init__(self, settings: WorkerSettings, control: ControlChannel, say: Callable[[str], None]) -> None:
        self._control, self._say, self._fork = control, say, settings.start_method == "fork"
        self._environment = zygote_environment()
        self._warm = WarmParents(self._environment, settings.modules, import_s=settings.import_s, say=say)
        # It imports nothing and forks only to start interpreters.
        self._plain = WarmParents(self._environment, (), import_s=settings.import_s, say=say, preload=False)
        self._place = tempfile.gettempdir()

    def expect(self, deployments: Iterable[DeploymentResponse]) -> None:
        """Have the flows of these deployments imported ahead, if they lie on this machine."""
        if not self._fork:
            self._say("runs start in new interpreters: forking a loaded process is not safe here")
            return
        for deployment in deployments:
            directory, _ = flow_directory(deployment)
            if directory is not None and deployment.entrypoint:
                self._warm.expect(directory, deployment.entrypoint)

    async def warm_up(self) -> None:
        """Import ahead, now."""
        await self._warm.warm_up()

    async def launch(
        self,
        flow_run: FlowRun,
        configuration: WarmJobConfiguration,
        *,
        hooks: str | None = None,
        message: str = "",
        wanted: Callable[[], bool] = lambda: True,
    ) -> Launched:
        """Start the run, or its hooks for a state; raises StartError or ColdError with the reason.

        `wanted` is asked at the last moment, after the wait for a zygote; raises UnwantedError if it says no.
        """
        placement = configuration.placement(self._environment)
        with ExitStack() as resources:
            output = RunOutput()
            resources.callback(output.close)
            directory = placement.directory or str(configuration.working_dir or "")
            if not directory:
                directory = resources.enter_context(tempfile.TemporaryDirectory(prefix="datalab-run-"))
            job = Job(
                key=uuid.uuid4().hex,
                flow_run_id=str(flow_run.id),
                environment=placement.environment,
                directory=directory,
                fork=self._fork and placement.cold is None,
                entrypoint=placement.entrypoint,
                command=placement.command,
                hooks=hooks,
                message=message,
            )
            started = await self._start(job, placement, flow_run, output, wanted)
            return Launched(started, output, resources.pop_all())

    async def run_hooks(self, flow_run: FlowRun, configuration: WarmJobConfiguration, state: str, message: str) -> None:
        """Run the flow's hooks for a state in a process of their own, and wait for it."""
        launched = await self.launch(flow_run, configuration, hooks=state, message=message)
        with launched.resources:
            try:
                await launched.started.ended
            finally:
                if not launched.started.ended.done():
                    with suppress(ProcessLookupError):
                        os.killpg(launched.started.pid, signal.SIGKILL)
                for line in launched.output.new_lines(at_end=True):
                    self._say(f"[{flow_run.name}, hooks] {line}")

    async def _start(
        self, job: Job, placement: Placement, flow_run: FlowRun, output: RunOutput, wanted: Callable[[], bool]
    ) -> Started:
        if self._fork and placement.cold:
            self._say(f"run {flow_run.name} starts in a new interpreter: {placement.cold}")
        for last in (False,) * (_TRIES - 1) + (True,):
            parent = await self._parent(job)
            if not wanted():
                raise UnwantedError
            try:
                return await parent.launch(replace(job, environment=self._controlled(job, flow_run)), output.descriptor)
            except StartError:
                # It was replaced, or died, between our two lines: the next one is another.
                if last:
                    raise
        raise AssertionError("unreachable")

    async def _parent(self, job: Job) -> WarmParent:
        if job.fork:
            return await self._warm.get(job.directory, job.entrypoint)
        return await self._plain.get(self._place)

    def _controlled(self, job: Job, flow_run: FlowRun) -> dict[str, str]:
        """The environment with the way back to us: by it the engine is told why it gets a signal, and tells its end."""
        environment = dict(job.environment)
        if not job.hooks:
            try:
                port, token = self._control.register(flow_run.id)
            except RuntimeError:  # no port could be bound; signals alone will do
                return environment
            environment |= {"PREFECT__CONTROL_PORT": str(port), "PREFECT__CONTROL_TOKEN": token}
        return environment

    def pids(self) -> set[int]:
        """The processes of all zygotes that live."""
        return self._warm.pids() | self._plain.pids()

    def close(self) -> None:
        """Let the zygotes go."""
        self._warm.close()
        self._plain.close()
