"""The effects of events, in one transaction: run history, checks, measurements, alerts. Nothing of Kafka here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import Sessions
from schemas.catalog import parse_data
from services.monitor import checks, episodes, measurements, metrics, runs
from services.monitor.advance import Outcome
from services.monitor.concerns import Pair, concerns_of
from services.monitor.decide import Action
from services.monitor.judgement import bearing
from services.monitor.limit_store import limits_of
from services.monitor.overlooked import overlooked
from services.monitor.quiet import divide
from services.monitor.reading import Occurrence
from services.monitor.rules import AlertRules
from services.monitor.troubles import held_events
from services.monitor.turns import Turns
from services.monitor.wording import Pages

log = get_logger(__name__)


class Effects:
    """Stores what events mean. `changed` is called after a commit that left alert events to publish."""

    def __init__(
        self,
        sessions: Sessions,
        rules: Callable[[], AlertRules],
        clock: Clock,
        *,
        pages: Pages,
        changed: Callable[[], None],
    ) -> None:
        self._sessions, self._rules, self._clock = sessions, rules, clock
        self._pages, self._changed = pages, changed
        self._begun, self._turns = clock.now(), Turns()

    async def take(self, occurrences: Sequence[Occurrence]) -> None:
        """Store the effects of all in one transaction; durable on return, and the same however often it is called.
        Others may be stored meanwhile; those about the same trouble wait."""
        now, rules = self._clock.now(), self._rules()
        concerns = concerns_of(rules, occurrences)
        async with self._turns.of(concerns.well.keys(), concerns.bad), self._sessions.begin() as session:
            ran = await runs.remember(session, occurrences, now)
            await checks.remember(session, occurrences)
            measured = await measurements.remember(session, occurrences, now)
            pairs, well = await divide(session, concerns)
            outcomes = await self._apply(session, rules, pairs, now)
        self._measure(occurrences, ran, measured, now)
        for rule, count in well.items():
            metrics.DECISIONS.labels(rule, Action.KEEP).inc(count)
        self._report(pairs, outcomes)

    async def release(self) -> None:
        """Judge again every event that was held back, and the ends of runs whose alerts still fire. It may be called on
        several instances at once."""
        rules = self._rules()
        by_name = {rule.name: rule for rule in rules.rules}
        async with self._sessions.begin() as session:
            held = await held_events(session)
            # The file may have lost the rule since.
            pairs = [(by_name[name], Occurrence(event, parse_data(event))) for name, event in held if name in by_name]
            pairs += await overlooked(session, rules.rules)
            outcomes = await self._apply(session, rules, pairs, self._clock.now(), again=True)
        self._report(pairs, outcomes)

    async def _apply(
        self, session: AsyncSession, rules: AlertRules, pairs: Sequence[Pair], now: datetime, *, again: bool = False
    ) -> Sequence[Outcome]:
        if not pairs:
            return ()
        limits = await limits_of(session, rules)
        bearings = []
        for rule, occurrence in pairs:
            history, since = runs.StoredRuns(session), self._begun if again else None
            bearings.append(await bearing(rule, occurrence, limits[rule.name], history, now, listening_since=since))
        return await episodes.apply(session, bearings, now=now, pages=self._pages, again=again)

    def _measure(
        self,
        occurrences: Sequence[Occurrence],
        ran: Sequence[runs.RunState],
        measured: Mapping[str, int],
        now: datetime,
    ) -> None:
        for type_, count in Counter(o.event.type for o in occurrences).items():
            metrics.EVENTS.labels(type_).inc(count)
        metrics.EVENT_AGE.observe_all(max(0.0, (now - event.time).total_seconds()) for event, _ in occurrences)
        for outcome, count in measured.items():
            metrics.MEASUREMENTS.labels(outcome).inc(count)
        durations = defaultdict[tuple[str, str], list[float]](list)
        for run in ran:
            if run.state_type in runs.ENDED and run.duration_s is not None:
                deployment = metrics.bounded(run.deployment or run.flow)
                durations[deployment, run.state_type.lower()].append(run.duration_s)
        for labels, seconds in durations.items():
            metrics.RUN_DURATION.labels(*labels).observe_all(seconds)

    def _report(self, pairs: Sequence[Pair], outcomes: Sequence[Outcome]) -> None:
        for (rule, action), count in Counter((o.rule, o.decision.action) for o in outcomes).items():
            metrics.DECISIONS.labels(rule, action).inc(count)
        changed = [
            (occurrence.event, outcome)
            for (_, occurrence), outcome in zip(pairs, outcomes, strict=True)
            if outcome.decision.action is not Action.KEEP
        ]
        # Most events change nothing, such as each completed run of a flow that is well; they have no line.
        for event, outcome in changed:
            log.info(
                "alert.decided",
                action=str(outcome.decision.action),
                reason=outcome.decision.reason,
                rule=outcome.rule,
                fingerprint=outcome.fingerprint,
                episode=outcome.episode,
                event_id=event.id,
                type=event.type,
                correlation_id=event.correlation,
            )
        if changed:
            self._changed()
