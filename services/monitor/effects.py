"""The effect of one event, in one transaction: run history and alerts. Nothing of Kafka here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import Sessions
from schemas.catalog import EVENT_TYPES, parse_data
from schemas.envelope import Event
from services.monitor import episodes, metrics, runs
from services.monitor.decide import Action
from services.monitor.rules import AlertRules

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

        Raises pydantic's ValidationError for a payload that does not fit its type.
        """
        if event.type not in EVENT_TYPES:
            # A newer producer may know more types; no rule can ask for one that we do not know.
            metrics.EVENTS.labels("unknown").inc()
            log.info("event.unknown", event_id=event.id, type=event.type)
            return
        data = parse_data(event)
        now = self._clock.now()
        async with self._sessions.begin() as session:
            run = await runs.remember(session, data)
            outcomes = [
                await episodes.apply(session, rule, event, now=now, prefect_ui=self._prefect_ui)
                for rule in self._rules.matching(event.type)
            ]
        self._measure(event, run, now)
        for outcome in outcomes:
            self._report(event, outcome)

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
