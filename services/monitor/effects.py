"""The effect of one event, in one transaction: run history, checks, measurements, alerts. Nothing of Kafka here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import Sessions
from schemas.catalog import EVENT_TYPES, parse_data
from schemas.envelope import Event, EventData
from schemas.metrics import MetricSampled
from services.monitor import checks, episodes, measurements, metrics, runs
from services.monitor.decide import Action
from services.monitor.judgement import judge
from services.monitor.rules import AlertRule, AlertRules
from services.monitor.timeliness import check_time

log = get_logger(__name__)


class Effects:
    """Stores what events mean. `changed` is called after a commit that left alert events to publish."""

    def __init__(
        self, sessions: Sessions, rules: AlertRules, clock: Clock, *, prefect_ui: str, changed: Callable[[], None]
    ) -> None:
        self._sessions, self._rules, self._clock = sessions, rules, clock
        self._prefect_ui, self._changed = prefect_ui, changed

    async def take(self, event: Event) -> None:
        """Store the event's effect; durable on return, and the same however often it is called.

        Raises pydantic's ValidationError for a payload that does not fit its type, FutureTimeError for a time to come.
        """
        if event.type not in EVENT_TYPES:
            # A newer producer may know more types; no rule can ask for one that we do not know.
            metrics.EVENTS.labels("unknown").inc()
            log.info("event.unknown", event_id=event.id, type=event.type)
            return
        data = parse_data(event)
        now = self._clock.now()
        check_time(event, data, now)
        if isinstance(data, MetricSampled):
            metrics.MEASUREMENTS.labels(await measurements.remember(self._sessions, event, data, now)).inc()
        async with self._sessions.begin() as session:
            run = await runs.remember(session, event, data, now)
            await checks.remember(session, event, data)
            outcomes = [await self._apply(session, rule, event, data, now) for rule in self._rules.matching(event.type)]
        self._measure(event, run, now)
        for outcome in outcomes:
            self._report(event, outcome)

    async def release(self) -> None:
        """Judge again every event that was held back. It may be called on several instances at once."""
        async with self._sessions() as session:
            held = await episodes.held_events(session)
        by_name = {rule.name: rule for rule in self._rules.rules}
        for name, event in held:
            if name in by_name:  # the file may have lost the rule since
                async with self._sessions.begin() as session:
                    outcome = await self._apply(session, by_name[name], event, parse_data(event), self._clock.now())
                if outcome.decision.action is not Action.KEEP:
                    self._report(event, outcome)

    async def _apply(
        self, session: AsyncSession, rule: AlertRule, event: Event, data: EventData, now: datetime
    ) -> episodes.Outcome:
        verdict = await judge(session, self._rules, rule, data, now)
        counts_from = rule.counts_from if event.type in rule.on else None
        at = getattr(data, counts_from) if counts_from else event.time
        bearing = episodes.Bearing(event, verdict, at)
        return await episodes.apply(session, rule, bearing, now=now, prefect_ui=self._prefect_ui)

    def _measure(self, event: Event, run: runs.RunState | None, now: datetime) -> None:
        metrics.EVENTS.labels(event.type).inc()
        metrics.EVENT_AGE.observe(max(0.0, (now - event.time).total_seconds()))
        if run is not None and run.state_type in runs.ENDED and run.duration_s is not None:
            deployment = metrics.bounded(run.deployment or run.flow)
            metrics.RUN_DURATION.labels(deployment, run.state_type.lower()).observe(run.duration_s)

    def _report(self, event: Event, outcome: episodes.Outcome) -> None:
        action = outcome.decision.action
        metrics.DECISIONS.labels(outcome.rule, action).inc()
        if action is not Action.KEEP:
            self._changed()
        # Most events change nothing, such as each completed run of a flow that is well.
        (log.debug if action is Action.KEEP else log.info)(
            "alert.decided",
            action=str(action),
            reason=outcome.decision.reason,
            rule=outcome.rule,
            fingerprint=outcome.fingerprint,
            episode=outcome.episode,
            event_id=event.id,
            type=event.type,
            correlation_id=event.correlation,
        )
