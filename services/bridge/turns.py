"""Turns of what waits: the next runs of each group (rule and key), as many as the rule's limit leaves room for.

A turn is one transaction. If it breaks off, the rows still wait, and whoever has the next turn is given the same runs
by their keys.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.tables.bridge import TriggerRow
from services.bridge import metrics
from services.bridge.burying import Burial
from services.bridge.creating import Runs, by_deployment, wanted_run
from services.bridge.deployments import DeploymentMissingError
from services.bridge.limits import free_places
from services.bridge.pauses import Pauses
from services.bridge.prefect_http import PrefectRefusedError
from services.bridge.prefect_runs import MOST_AT_ONCE, ParametersRefusedError
from services.bridge.refreshing import refreshed
from services.bridge.rules import RuleBook
from services.bridge.waiting import Group, WaitingTriggers, active, due, locked

log = get_logger(__name__)
_GROUPS = 50


class Turns:
    """Takes turns. Raises what Prefect, Kafka and Postgres raise while away."""

    def __init__(
        self,
        waiting: WaitingTriggers,
        runs: Runs,
        burial: Burial,
        pauses: Pauses,
        clock: Clock,
        *,
        patience_s: float,
    ) -> None:
        self._waiting, self._runs, self._burial, self._pauses, self._clock = waiting, runs, burial, pauses, clock
        self._patience_s = patience_s
        self._missing_since: dict[str, float] = {}

    async def take(self, book: RuleBook) -> bool:
        """One turn; whether any trigger was settled, so that another turn is worth while."""
        groups = await self._waiting.groups(book.by_name.keys() - set(self._pauses.rules))
        if not groups:
            return False
        async with self._waiting.sessions.begin() as session:
            # Those that are full are left out before any is locked: they must not keep the others from their turn.
            open_groups = list(await self._places(session, book, groups))[:_GROUPS]
            places = await self._places(session, book, await locked(session, open_groups))
            rows = await due(session, places)
            ready = [row for row in rows if await self._is_ready(session, book, row)]
            for deployment, group in by_deployment(ready, lambda row: row.deployment):
                await self._start(session, deployment, group)
            settled = {(row.rule, row.status) for row in rows if row.status != "waiting"}
        for rule in sorted(rule for rule, status in settled if status == "dead"):
            await self._pauses.count_dead(book.by_name[rule])
        return bool(settled)

    async def _places(self, session: AsyncSession, book: RuleBook, groups: Sequence[Group]) -> dict[Group, int]:
        """How many runs each of these groups may start now; those without a free place are left out."""
        counts = await active(session, groups)
        places = {
            group: free_places(book.by_name[group[0]].spec.limits, counts[group], MOST_AT_ONCE) for group in groups
        }
        return {group: free for group, free in places.items() if free}

    async def _is_ready(self, session: AsyncSession, book: RuleBook, row: TriggerRow) -> bool:
        """Bring the row up to the rule as it is now; whether its run is still wanted."""
        fault = await refreshed(session, book.by_name[row.rule], row)
        if fault is not None:
            await self._burial.bury(session, row, fault.reason, fault.error_class)
        return row.status == "waiting"

    async def _start(self, session: AsyncSession, deployment: str, rows: Sequence[TriggerRow]) -> None:
        try:
            ids = await self._runs.create_many(deployment, [wanted_run(row) for row in rows])
            for row, id_ in zip(rows, ids, strict=True):
                await self._settle(session, row, id_)
        except DeploymentMissingError as error:
            await self._wait_for(session, error, rows)
        else:
            self._missing_since.pop(deployment, None)

    async def _settle(self, session: AsyncSession, row: TriggerRow, run_id: str | None) -> None:
        try:
            row.flow_run_id = run_id or await self._runs.create(row.deployment, wanted_run(row))
        except (PrefectRefusedError, ParametersRefusedError) as error:
            await self._burial.bury(session, row, str(error), type(error).__name__)
            return
        row.status, row.reason, row.due_at, row.updated_at = "created", None, None, func.now()
        metrics.CREATED.labels(row.rule).inc()
        waited = max(0.0, (self._clock.now() - row.created_at).total_seconds())
        log.info(
            "run.created",
            rule=row.rule,
            key=row.key,
            event_id=row.event_id,
            run_id=row.flow_run_id,
            deployment=row.deployment,
            attempt=row.attempt,
            seconds=waited,
        )

    async def _wait_for(self, session: AsyncSession, error: DeploymentMissingError, rows: Sequence[TriggerRow]) -> None:
        """The deployment may only be late; after a while it is not."""
        now = self._clock.monotonic()
        if now - self._missing_since.setdefault(error.name, now) < self._patience_s:
            return
        for row in rows:
            if row.status == "waiting":
                waited = f"{error} (waited {self._patience_s:g} s)"
                await self._burial.bury(session, row, waited, type(error).__name__)
