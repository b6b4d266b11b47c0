"""Triggers of the queue that cannot have a run: their events go to the dead letters, with the reason."""

from __future__ import annotations

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.bus.deadletters import DeadLetters
from datalab.bus.faults import Fault
from datalab.runtime.logs import get_logger
from datalab.store.tables.bridge import TriggerRow
from schemas.codec import encode
from services.bridge import metrics
from services.bridge.waiting import events_of

log = get_logger(__name__)


class Burial:
    """Buries triggers on behalf of a consumer group."""

    def __init__(self, dead_letters: DeadLetters, group: str) -> None:
        self._dead_letters, self._group = dead_letters, group

    async def bury(self, session: AsyncSession, row: TriggerRow, reason: str, cause: str) -> None:
        """Bury the trigger; `cause` is the class of the fault. Returns once the letters are stored; the row is dead
        when the transaction ends. A crash in between buries the same events again, which a replay recognises."""
        fault = Fault(self._group, f"rule {row.rule}: {reason}", "handle", cause, row.attempt, (row.rule,))
        for event, ref in await events_of(session, row.id):
            await self._dead_letters.bury(ref, fault, encode(event))
        row.status, row.reason, row.updated_at = "dead", reason[:2000], func.now()
        metrics.DEAD.labels(row.rule).inc()
        log.error("trigger.dead", rule=row.rule, event_id=row.event_id, run_id=row.flow_run_id, reason=reason)
