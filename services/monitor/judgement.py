"""What an event is worth to a rule now, by the rule's limits. Reads Postgres, changes nothing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.envelope import EventData
from schemas.runs import RunCrashed, RunFailed
from services.monitor.criteria import BAD, CRITERIA, FAILURES, GOOD, Circumstances, Verdict
from services.monitor.decide import Sign
from services.monitor.limits import RuleLimits
from services.monitor.reading import Occurrence
from services.monitor.rules import AlertRule
from services.monitor.runs import failures_in_row

_OFF = Verdict(None, "the rule is switched off")


async def judge(
    session: AsyncSession, rule: AlertRule, occurrence: Occurrence, held_back: RuleLimits, now: datetime
) -> Verdict:
    """Good, bad, or neither. What ends a trouble needs no limit, and ends it also while the rule is switched off."""
    data = occurrence.data
    if data.type in rule.resolved_by:
        return GOOD
    if not held_back.enabled:
        return _OFF
    for name, limit in held_back.limits.items():
        value = limit.of(getattr(data, "flow", None), getattr(data, "deployment", None))
        failures = await _failures(session, data) if name == FAILURES and value > 1 else 1
        verdict = CRITERIA[name].judge(data, value, Circumstances(now, failures))
        if verdict.sign is not Sign.BAD:
            return verdict
    return BAD


async def _failures(session: AsyncSession, data: EventData) -> int:
    """Up to this run, whatever else came with it: the same however events fall into batches."""
    assert isinstance(data, RunFailed | RunCrashed)  # rules that take the threshold have no other types
    return await failures_in_row(session, data.flow, data.deployment, data.occurred_at)
