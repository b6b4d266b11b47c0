"""Bringing a trigger that waits up to its rule as it is now: what was rendered by another version is rendered anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.bridge import TriggerRow
from schemas.envelope import Event
from services.bridge import metrics
from services.bridge.decisions import Decision, decide, decide_run, run_key, trigger_id
from services.bridge.ledger import attempt_key
from services.bridge.rules import Rule
from services.bridge.templates import Occasion
from services.bridge.waiting import events_of


async def refreshed(session: AsyncSession, rule: Rule, row: TriggerRow) -> Decision | None:
    """None, or the decision that says why the rule cannot start this run. A row that the rule no longer wants is
    suppressed. Further attempts stay as the first one was."""
    if row.rule_version == rule.version or (row.attempt > 1 and row.rule_version):
        return None
    kept = await events_of(session, row.id)
    last = kept[-1].event
    decision = _decided(rule, row, [one.event for one in kept])
    if decision.outcome == "failed":
        return decision
    if decision.outcome != "matched":
        row.status, row.reason = "suppressed", f"the rule was changed meanwhile: {decision.reason}"[:2000]
        metrics.SUPPRESSED.labels(rule.name).inc()
        return None
    row.deployment = rule.spec.run.deployment
    own = row.id == trigger_id(rule.name, last.id)
    key = run_key(rule.name, row.deployment, last.id if own else row.id)
    row.idempotency_key = key if row.attempt == 1 else attempt_key(key, row.attempt)
    row.parameters, row.tags, row.options = decision.parameters, decision.tags, decision.options
    row.rule_version = rule.version
    return None


def _decided(rule: Rule, row: TriggerRow, events: Sequence[Event]) -> Decision:
    if row.window is not None:
        start, end = (datetime.fromisoformat(row.window[edge]) for edge in ("start", "end"))
        return decide_run(rule, Occasion(events, row.key, start, end))
    decision = decide(rule, events[-1])
    # Kept as it came while the rule acted on each event.
    return decide_run(rule, Occasion(events, row.key)) if decision.conditions else decision
