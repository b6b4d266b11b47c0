"""Bringing a trigger that waits up to its rule as it is now: what was rendered by another version is rendered anew."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.bridge import TriggerRow
from services.bridge import metrics
from services.bridge.decisions import Decision, decide, idempotency_key
from services.bridge.rules import Rule
from services.bridge.waiting import events_of


async def refreshed(session: AsyncSession, rule: Rule, row: TriggerRow) -> Decision | None:
    """None, or the decision that says why the rule cannot start this run. A row that the rule no longer wants is
    suppressed. Further attempts stay as the first one was."""
    if row.rule_version == rule.version or row.attempt > 1:
        return None
    (kept,) = await events_of(session, row.id)
    decision = decide(rule, kept.event)
    if decision.outcome == "failed":
        return decision
    if decision.outcome != "matched":
        row.status, row.reason = "suppressed", f"the rule was changed meanwhile: {decision.reason}"[:2000]
        metrics.SUPPRESSED.labels(rule.name).inc()
        return None
    row.deployment = rule.spec.run.deployment
    row.idempotency_key = idempotency_key(rule.name, row.deployment, kept.event)
    row.parameters, row.tags, row.options = decision.parameters, decision.tags, decision.options
    row.rule_version = rule.version
    return None
