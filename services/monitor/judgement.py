"""What an event is worth to a rule now, by the rule's limits. Asks the history of runs, changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Protocol

from schemas.envelope import EventData
from schemas.metrics import MetricSampled
from schemas.runs import RunCrashed, RunFailed, RunLate, RunOverrun
from schemas.services import ServiceHeartbeat
from services.monitor.advance import Bearing
from services.monitor.criteria import BAD, CLEAR, CRITERIA, FAILURES, GOOD, Circumstances, Verdict
from services.monitor.decide import Sign
from services.monitor.limits import Limit, RuleLimits
from services.monitor.reading import Occurrence
from services.monitor.rules import AlertRule

_AT_ONCE = Limit(0.0)
_OFF = Verdict(None, "the rule is switched off")
_ENDED = Verdict(None, "the run has ended meanwhile")
_STARTED = Verdict(None, "the run has gone on meanwhile")


class RunHistory(Protocol):
    """What a rule may ask about other runs, and about the same one."""

    async def failures_in_row(self, flow: str, deployment: str | None, until: datetime) -> int:
        """How many runs of the deployment had ended failed or crashed by then, since one of them completed last."""

    async def is_over(self, run_id: str, since: datetime) -> bool:
        """Whether the run has ended after that time."""

    async def has_gone_on(self, run_id: str, since: datetime) -> bool:
        """Whether the run has come into any state after that time."""


async def bearing(
    rule: AlertRule,
    occurrence: Occurrence,
    held_back: RuleLimits,
    history: RunHistory,
    now: datetime,
    *,
    listening_since: datetime | None = None,
) -> Bearing:
    """The event as the rule sees it. `listening_since` is given where an event that is held back is judged again."""
    event, data = occurrence
    around = Circumstances(now, event.time, listening_since=listening_since)
    verdict = await _judge(rule, data, held_back, history, around)
    counts_from = rule.counts_from if event.type in rule.on else None
    at: datetime = getattr(data, counts_from) if counts_from else event.time
    return Bearing(rule, event, verdict, at, _for(held_back.limits.get(CLEAR, _AT_ONCE), data))


async def _judge(
    rule: AlertRule, data: EventData, held_back: RuleLimits, history: RunHistory, around: Circumstances
) -> Verdict:
    """Good, bad, or neither. What ends a trouble needs no limit, and ends it also while the rule is switched off."""
    if data.type in rule.resolved_by:
        return GOOD
    if not held_back.enabled:
        return _OFF
    if isinstance(data, RunOverrun) and await history.is_over(data.run_id, data.start_time):
        return _ENDED
    if isinstance(data, RunLate) and await history.has_gone_on(data.run_id, data.occurred_at):
        return _STARTED
    for name, limit in held_back.limits.items():
        value = _for(limit, data)
        failures = await _failures(history, data) if name == FAILURES and value > 1 else 1
        verdict = CRITERIA[name].judge(data, value, replace(around, failures_in_row=failures))
        if verdict.sign is not Sign.BAD:
            return verdict
    return BAD


def _for(limit: Limit, data: EventData) -> float:
    if isinstance(data, MetricSampled):
        return limit.of(data.of, None)
    if isinstance(data, ServiceHeartbeat):
        return limit.of(data.service, None)
    return limit.of(getattr(data, "flow", None), getattr(data, "deployment", None))


async def _failures(history: RunHistory, data: EventData) -> int:
    """Up to this run, whatever else came with it: the same however events fall into batches."""
    assert isinstance(data, RunFailed | RunCrashed)  # rules that take the threshold have no other types
    return await history.failures_in_row(data.flow, data.deployment, data.occurred_at)
