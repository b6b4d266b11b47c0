"""What follows runs that failed: another attempt after a while, or, after the last, the dead letters."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.logs import get_logger
from datalab.store.tables.bridge import TriggerRow
from services.bridge import metrics
from services.bridge.burying import Burial
from services.bridge.ledger import attempt_key, note_attempt
from services.bridge.limits import follow_up
from services.bridge.pauses import Pauses
from services.bridge.rules import Rule, RuleBook
from services.bridge.waiting import WaitingTriggers, failed_runs

log = get_logger(__name__)
ATTEMPT = "datalab.attempt"
_MOST = 100


class Failures:
    """Decides on failed runs, each once: its row says so."""

    def __init__(self, waiting: WaitingTriggers, burial: Burial, pauses: Pauses) -> None:
        self._waiting, self._burial, self._pauses = waiting, burial, pauses

    async def follow(self, book: RuleBook) -> bool:
        """Decide on some; whether there may be more."""
        dead: dict[str, Rule] = {}
        async with self._waiting.sessions.begin() as session:
            rows = await failed_runs(session, _MOST)
            for row in rows:
                rule = book.by_name.get(row.rule)
                if rule is not None and await self._decide(session, rule, row) == "dead":
                    dead[rule.name] = rule
                row.followed_up = row.status == "created"
        for rule in dead.values():
            await self._pauses.count_dead(rule)
        return len(rows) == _MOST

    async def _decide(self, session: AsyncSession, rule: Rule, row: TriggerRow) -> str:
        decision = follow_up(rule.spec.on_failure, row.flow_run_id or "", row.run_state or "", row.retries)
        if decision.kind == "retry":
            again(row, decision.reason, decision.delay)
            metrics.RETRIED.labels(rule.name).inc()
            log.info("run.retried", rule=rule.name, event_id=row.event_id, reason=decision.reason)
        elif decision.kind == "dead":
            await self._burial.bury(session, row, decision.reason, f"Run{(row.run_state or '').capitalize()}")
        return decision.kind


def again(row: TriggerRow, reason: str, delay: timedelta) -> None:
    """Have the trigger wait for its next attempt, whose number is in its key, its tags and its labels."""
    first = row.idempotency_key.removesuffix(attempt_key("", row.attempt))
    note_attempt(row)
    row.retries += 1
    row.idempotency_key = attempt_key(first, row.attempt)
    row.tags = [*(tag for tag in row.tags if not tag.startswith(f"{ATTEMPT}=")), f"{ATTEMPT}={row.attempt}"]
    row.options = {**row.options, "labels": {**row.options.get("labels", {}), ATTEMPT: row.attempt}}
    row.status, row.reason, row.updated_at = "waiting", reason, func.now()
    row.due_at = func.clock_timestamp() + delay
