"""How the worker finds its runs: by the clock, and at once when it is told that one is due; and how it claims them."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from prefect.exceptions import Abort
from prefect.states import Pending
from prefect.utilities.engine import propose_state
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from datalab.worker.identity import claim

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

_CLAIM_S = 5.0

Configuration = TypeVar("Configuration", bound=BaseJobConfiguration)
Variables = TypeVar("Variables", bound=BaseVariables)
Result = TypeVar("Result", bound=BaseWorkerResult)


class ClaimingWorker(BaseWorker[Configuration, Variables, Result], abc.ABC):
    """`self._due.set()` has it look for runs now. A claim names the worker, so that its successor knows it again."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._polling = asyncio.Lock()
        self._due = asyncio.Event()
        self._unclaimed: dict[UUID, asyncio.Event] = {}

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """One at a time, as it is called by the clock and by events.

        The next one comes only after the runs found are claimed: the server passes over a run that is just being
        claimed when it counts the pool's limit, and would give out one too many.
        """
        async with self._polling:
            earlier = set(self._submitting_flow_run_ids)
            runs = await super().get_and_submit_flow_runs()
            found = [run for run in runs if run.id not in earlier and _is_due(run)]
            self._unclaimed |= {run.id: asyncio.Event() for run in found}
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLAIM_S):
                    for run in found:
                        await self._unclaimed[run.id].wait()
            for run in found:
                self._unclaimed.pop(run.id)
            return runs

    async def _poll_when_due(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            with contextlib.suppress(Exception):  # the regular poll reports what is wrong
                await self.get_and_submit_flow_runs()

    def _release_limit_slot(self, flow_run_id: UUID) -> None:
        super()._release_limit_slot(flow_run_id)
        if self._limiter is not None or (self._work_pool and self._work_pool.concurrency_limit is not None):
            self._due.set()  # another run may have waited for the slot

    async def _propose_pending_state(self, flow_run: FlowRun) -> bool:
        """As Prefect's, with our name in it: should we die now, our successor knows whose run it is."""
        logger = self.get_flow_run_logger(flow_run)
        try:
            state = await propose_state(self.client, Pending(message=claim(self.name)), flow_run_id=flow_run.id)
        except Abort as refusal:
            logger.info("Flow run %s is not submitted; the server said: %s", flow_run.id, refusal)
            return False
        except Exception:
            logger.exception("Flow run %s could not be claimed", flow_run.id)
            return False
        finally:
            self._claimed(flow_run.id)
        if not state.is_pending():
            logger.info("Flow run %s is not submitted: its state is %s", flow_run.id, state.type.value)
        return state.is_pending()

    def _claimed(self, flow_run_id: UUID) -> None:
        if (claimed := self._unclaimed.get(flow_run_id)) is not None:
            claimed.set()

    async def _propose_submitting_state(self, flow_run: FlowRun) -> None:
        """Nothing: a warm process is there before such a state could be read, and the claim must stay."""

    async def _submit_run(self, flow_run: FlowRun) -> None:
        try:
            await super()._submit_run(flow_run)
        finally:
            self._claimed(flow_run.id)


def _is_due(flow_run: FlowRun) -> bool:
    """Whether it may be claimed now; one that is scheduled for later is claimed when its time has come."""
    due = flow_run.next_scheduled_start_time
    return due is None or due <= datetime.now(UTC)
