"""Telling Prefect how a run ended, where the run itself could not: crashed, or cancelled. With the flow's hooks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
from prefect._internal.attempt_control import StateOwnershipDelegation
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.runner._control_channel import ControlChannel

from datalab.worker.attempt import Attempt
from datalab.worker.outcomes import crash_message
from datalab.worker.protocol import Ended

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

_UNFINISHED = {StateType.PENDING, StateType.RUNNING, StateType.CANCELLING}
_HOOKS_S = 60.0
_RETRY_S = 5.0
_TRIES = 120

Crash = Callable[["FlowRun", str], Awaitable[None]]
Cancel = Callable[["FlowRun", dict[str, str]], Awaitable[None]]
Hooks = Callable[["FlowRun", str, str], Awaitable[None]]


class Endings:
    """`crash` and `cancel` set the state; `hooks` starts a process that runs the flow's hooks for a state."""

    def __init__(self, control: ControlChannel, say: Callable[[str], None]) -> None:
        self._control, self._say = control, say

    async def report(
        self, client: PrefectClient, attempt: Attempt, ended: Ended, *, crash: Crash, cancel: Cancel, hooks: Hooks
    ) -> None:
        """Report the end unless the run has done so. An outage of Prefect is waited for."""
        conclusion = self._control.unregister(attempt.flow_run_id)
        told = conclusion is not None and not isinstance(conclusion, StateOwnershipDelegation)
        if told and not attempt.broke:
            return
        flow_run = await self._read(client, attempt.flow_run_id)
        if flow_run is None or flow_run.state is None or flow_run.state.type not in _UNFINISHED:
            return
        if attempt.cancelled or flow_run.state.type is StateType.CANCELLING:
            message = "Cancelled; its process was killed, as it did not end by itself."
            await self._run_hooks(hooks, flow_run, "cancelling", message)
            await cancel(flow_run, {"message": message})
        else:
            message = crash_message(ended, attempt.broke, attempt.output.tail if attempt.output else ())
            self._say(f"run {attempt.name} crashed: {message}")
            await crash(flow_run, message)
            await self._run_hooks(hooks, flow_run, "crashed", message)

    async def _run_hooks(self, hooks: Hooks, flow_run: FlowRun, state: str, message: str) -> None:
        try:
            await asyncio.wait_for(hooks(flow_run, state, message), _HOOKS_S)
        except Exception as error:
            self._say(f"hooks of run {flow_run.name} for {state}: {type(error).__name__}: {error}")

    async def _read(self, client: PrefectClient, flow_run_id: UUID) -> FlowRun | None:
        for _ in range(_TRIES):
            try:
                return await client.read_flow_run(flow_run_id)
            except ObjectNotFound:
                return None
            except httpx.HTTPError as error:
                self._say(f"Prefect does not answer ({type(error).__name__}); the end of a run waits to be reported")
                await asyncio.sleep(_RETRY_S)
        return None
