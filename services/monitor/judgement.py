"""What an event is worth to a rule now, by the rule's limits. Reads Postgres, changes nothing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.envelope import EventData
from services.monitor.criteria import BAD, CRITERIA, FAILURES, Circumstances, Verdict
from services.monitor.decide import Sign
from services.monitor.limit_store import limits_of
from services.monitor.limits import Limit
from services.monitor.rules import AlertRule, AlertRules
from services.monitor.runs import failures_in_row

_OFF = Verdict(None, "the rule is switched off")


async def judge(session: AsyncSession, rules: AlertRules, rule: AlertRule, data: EventData, now: datetime) -> Verdict:
    """Good, bad, or neither. What ends a trouble needs no limit, and ends it also while the rule is switched off."""
    if data.type in rule.resolved_by:
        return Verdict(Sign.GOOD)
    held_back = await limits_of(session, rules, rule.name)
    if not held_back.enabled:
        return _OFF
    for name, limit in held_back.limits.items():
        around = Circumstances(now, await _failures(session, data) if name == FAILURES else 1)
        verdict = CRITERIA[name].judge(data, _for(limit, data), around)
        if verdict.sign is not Sign.BAD:
            return verdict
    return BAD


def _for(limit: Limit, data: EventData) -> float:
    return limit.of(getattr(data, "flow", None), getattr(data, "deployment", None))


async def _failures(session: AsyncSession, data: EventData) -> int:
    return await failures_in_row(session, getattr(data, "flow", ""), getattr(data, "deployment", None))
