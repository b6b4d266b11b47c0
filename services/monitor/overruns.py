"""Runs that take longer than they may, found while they still run and told as `lab.run.overrun.v1` on `lab.runs`.

The event goes the way of every event: it comes back from Kafka, and the rule on it raises the alert. It is stored, once
per run and start, before it is published, and marked after; a crash in between publishes it again under the same id.

Whether a run is over is told by its own clock (its start and its end); this machine's clock only says when to look.
A run that ended before its overrun came back, whenever that was, raises nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol

from sqlalchemy import exists, func, select
from sqlalchemy.dialects.postgresql import insert

from datalab.bus.publisher import RecordRef
from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import Sessions
from datalab.store.tables.monitor import OverrunRow, RunRow
from schemas.envelope import Event, event_id, new_event
from schemas.runs import RunOverrun
from services.monitor import metrics
from services.monitor.criteria import DURATION, LEARNED
from services.monitor.episodes import SOURCE
from services.monitor.learned import LearnedDurations, Of
from services.monitor.limit_store import limits_of
from services.monitor.limits import Limit
from services.monitor.rules import AlertRules
from services.monitor.runs import RUNNING

log = get_logger(__name__)
_BATCH = 50
_NEVER = Limit(0.0)


class EventPublisher(Protocol):
    """Where overruns go."""

    async def publish(self, event: Event) -> RecordRef:
        """Returns once the event is stored durably."""


def overruns(
    runs: Iterable[RunRow], limit: Limit, now: datetime, learned: Mapping[Of, float] = MappingProxyType({})
) -> list[RunOverrun]:
    """Those of the running runs that have exceeded by now what was set, or what they usually take. Pure."""
    found = []
    for run in runs:
        if run.running_since is None:
            continue
        limit_s = min(limit.of(run.flow, run.deployment), learned.get((run.flow, run.deployment), math.inf))
        exceeded_at = run.running_since + timedelta(seconds=limit_s)
        if now > exceeded_at:
            found.append(
                RunOverrun(
                    run_id=run.run_id,
                    run_name=run.run_name,
                    flow=run.flow,
                    deployment=run.deployment,
                    start_time=run.running_since,
                    limit_s=limit_s,
                    exceeded_at=exceeded_at,
                )
            )
    return found


class Overruns:
    """Several instances may look at once."""

    def __init__(
        self, sessions: Sessions, publisher: EventPublisher, rules: Callable[[], AlertRules], clock: Clock
    ) -> None:
        self._sessions, self._publisher, self._clock = sessions, publisher, clock
        self._rules, self._learned = rules, LearnedDurations(clock.monotonic)

    async def look(self) -> None:
        """Store what exceeded its limit since the last look, and publish what is not published yet."""
        rules = self._rules()
        for rule in {threshold.rule for threshold in rules.thresholds if threshold.name == DURATION}:
            await self._store(rules, rule)
        while await self._publish_batch() == _BATCH:
            pass

    async def check(self, oldest_s: float = 30.0) -> str | None:
        """Readiness: None, or how long an overrun has waited for Kafka."""
        async with self._sessions() as session:
            query = select(func.min(OverrunRow.created_at)).where(~OverrunRow.published)
            oldest: datetime | None = (await session.execute(query)).scalar()
        age = (self._clock.now() - oldest).total_seconds() if oldest else 0.0
        return f"an overrun waits for Kafka since {age:.0f} s" if age > oldest_s else None

    async def _store(self, rules: AlertRules, rule: str) -> None:
        told = exists().where(OverrunRow.run_id == RunRow.run_id, OverrunRow.running_since == RunRow.running_since)
        running = select(RunRow).where(RunRow.state_type == RUNNING, RunRow.running_since.is_not(None), ~told)
        now = self._clock.now()
        async with self._sessions.begin() as session:
            limits = (await limits_of(session, rules))[rule]
            if not limits.enabled:
                return
            runs = {run.run_id: run for run in (await session.execute(running)).scalars()}
            factor = limits.limits.get(LEARNED, _NEVER)
            of = ((run.flow, run.deployment) for run in runs.values())
            learned = await self._learned.limits(session, of, factor, now)
            for overrun in overruns(runs.values(), limits.limits[DURATION], now, learned):
                row = insert(OverrunRow).values(
                    run_id=overrun.run_id,
                    running_since=overrun.start_time,
                    limit_s=overrun.limit_s,
                    event=_event(overrun, runs[overrun.run_id]).model_dump(mode="json"),
                    published=False,
                    created_at=now,
                )
                await session.execute(row.on_conflict_do_nothing())

    async def _publish_batch(self) -> int:
        """Publish up to a batch, the oldest first; returns how many were due."""
        failure: Exception | None = None
        async with self._sessions.begin() as session:
            due = select(OverrunRow).where(~OverrunRow.published).order_by(OverrunRow.created_at).limit(_BATCH)
            # Locked, and those locked by another instance left out: two instances must not publish the same.
            rows: Sequence[OverrunRow] = (await session.execute(due.with_for_update(skip_locked=True))).scalars().all()
            for row in rows:
                try:
                    await self._publish(row)
                except Exception as error:  # one that Kafka refuses must not hold up the others
                    failure = error
        if failure is not None:
            raise failure
        return len(rows)

    async def _publish(self, row: OverrunRow) -> None:
        event = Event.model_validate(row.event)
        ref = await self._publisher.publish(event)
        row.published = True
        metrics.OVERRUNS.inc()
        log.info("run.overrun", run_id=row.run_id, limit_s=row.limit_s, event_id=event.id, at=str(ref))


def _event(overrun: RunOverrun, run: RunRow) -> Event:
    """The event, caused by the one that told that the run runs."""
    return new_event(
        overrun,
        source=SOURCE,
        id=event_id("run-overrun", overrun.run_id, overrun.start_time.isoformat(), f"{overrun.limit_s:g}"),
        causationid=run.event_id,
        correlationid=run.correlation_id,
        time=overrun.exceeded_at,
    )
