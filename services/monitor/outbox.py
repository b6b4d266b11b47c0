"""Alert events from Postgres to Kafka, after the commit: at once, and again after a crash, under the same ids.

Each is marked once Kafka has acknowledged it. A crash in between publishes it again with the same id, by which
consumers recognise it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import and_, func, or_, select

from datalab.bus.publisher import RecordRef
from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import Sessions
from datalab.store.tables.monitor import EpisodeRow
from schemas.alerts import Severity
from schemas.envelope import Event
from services.monitor import metrics
from services.monitor.log_lines import ANNOTATION, LastLines

log = get_logger(__name__)
_BATCH = 50
SEVERITIES: tuple[Severity, ...] = ("critical", "error", "warning", "info")
_RESOLVED_DUE = and_(EpisodeRow.status == "resolved", ~EpisodeRow.resolved_published)
_DUE = or_(~EpisodeRow.firing_published, _RESOLVED_DUE)


class EventPublisher(Protocol):
    """Where alert events go."""

    async def publish(self, event: Event) -> RecordRef:
        """Returns once the event is stored durably."""


class Outbox:
    """Publishes what is stored and not yet on Kafka. `wake` makes it look at once."""

    def __init__(
        self,
        sessions: Sessions,
        publisher: EventPublisher,
        clock: Clock,
        *,
        every_s: float,
        last_lines: LastLines | None = None,
    ) -> None:
        self._sessions, self._publisher, self._clock = sessions, publisher, clock
        self._every_s, self._last_lines = every_s, last_lines
        self._woken, self._counted = asyncio.Event(), -math.inf

    def wake(self) -> None:
        """There is something to publish."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop`. Outages are waited for."""
        stopping = asyncio.create_task(stop.wait())
        while not stop.is_set():
            self._woken.clear()
            work = asyncio.create_task(self._publish_due())
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                # Told to stop in the middle: what Kafka does not take now is published at the next start.
                await asyncio.wait({work}, timeout=1.0)
                work.cancel()
                break
            woken = asyncio.create_task(self._woken.wait())
            waits = {stopping, woken} if work.result() else {stopping}
            await asyncio.wait(waits, timeout=self._every_s, return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
        stopping.cancel()

    async def _publish_due(self) -> bool:
        """Publish all that is due; False if the database or the broker was away, which leaves the rest due."""
        try:
            while await self._publish_batch() == _BATCH:
                pass
            if self._clock.monotonic() - self._counted >= self._every_s:
                await self._count()
        except Exception as error:  # whatever a client raises in an outage
            log.warning("outbox.retry", reason=" ".join(f"{type(error).__name__}: {error}".split())[:300])
            return False
        return True

    async def check(self, oldest_s: float = 30.0) -> str | None:
        """Readiness: None, or how long the oldest event has waited for Kafka."""
        async with self._sessions() as session:
            query = select(func.min(EpisodeRow.updated_at)).where(_DUE)
            oldest: datetime | None = (await session.execute(query)).scalar()
        if oldest is None:
            return None
        age = (self._clock.now() - oldest).total_seconds()
        return f"an alert event waits for Kafka since {age:.0f} s" if age > oldest_s else None

    async def _publish_batch(self) -> int:
        """Publish up to a batch of episodes, oldest first; returns how many were due."""
        async with self._sessions.begin() as session:
            # Locked, and those locked by another instance left out: two instances must not publish the same.
            rows = (
                (
                    await session.execute(
                        select(EpisodeRow)
                        .where(_DUE)
                        .order_by(EpisodeRow.updated_at)
                        .limit(_BATCH)
                        .with_for_update(skip_locked=True)
                    )
                )
                .scalars()
                .all()
            )
            await self._quote_logs([row for row in rows if not row.firing_published])
            of_trouble: dict[str, list[EpisodeRow]] = {}
            for row in rows:
                of_trouble.setdefault(row.fingerprint, []).append(row)
            # One after another for each trouble, as it happened; Kafka acknowledges those of many at once.
            failures = await asyncio.gather(*map(self._publish_in_order, of_trouble.values()))
        if failure := next(filter(None, failures), None):
            raise failure
        return len(rows)

    async def _publish_in_order(self, rows: Sequence[EpisodeRow]) -> Exception | None:
        failure: Exception | None = None
        for row in rows:
            try:
                await self._publish(row)
            except Exception as error:  # one alert that Kafka refuses must not hold up the others
                failure = error
        return failure

    async def _quote_logs(self, rows: Sequence[EpisodeRow]) -> None:
        """The last lines of their runs' logs. Stored with the row, so that its end tells them too."""
        runs = {row.episode: row.annotations["run_url"].rpartition("/")[2] for row in rows if _has_run(row)}
        lines = await self._last_lines.of(list(runs.values())) if self._last_lines and runs else {}
        for row in rows:
            if quoted := lines.get(runs.get(row.episode, "")):
                row.annotations = {**row.annotations, ANNOTATION: quoted}
                for stored in ("firing_event", "resolved_event"):
                    if (event := getattr(row, stored)) is not None:
                        annotations = {**event["data"]["annotations"], ANNOTATION: quoted}
                        setattr(row, stored, {**event, "data": {**event["data"], "annotations": annotations}})

    async def _publish(self, row: EpisodeRow) -> None:
        """Firing before resolved; both have the same key, so they keep this order."""
        if not row.firing_published:
            await self._send(row, row.firing_event, "firing")
            row.firing_published = True
        if row.status == "resolved" and not row.resolved_published and row.resolved_event is not None:
            await self._send(row, row.resolved_event, "resolved")
            row.resolved_published = True

    async def _send(self, row: EpisodeRow, stored: dict[str, Any], status: str) -> None:
        event = Event.model_validate(stored)
        ref = await self._publisher.publish(event)
        metrics.ALERTS_PUBLISHED.labels(row.rule, status).inc()
        log.info(
            "alert.published",
            status=status,
            rule=row.rule,
            severity=row.severity,
            fingerprint=row.fingerprint,
            episode=row.episode,
            event_id=event.id,
            causation_id=event.causationid,
            at=str(ref),
        )

    async def _count(self) -> None:
        firing = select(EpisodeRow.severity, func.count()).where(EpisodeRow.status == "firing")
        async with self._sessions() as session:
            counts = {row[0]: row[1] for row in await session.execute(firing.group_by(EpisodeRow.severity))}
            due = (await session.execute(select(func.count()).select_from(EpisodeRow).where(_DUE))).scalar_one()
        for severity in SEVERITIES:
            metrics.OPEN_ALERTS.labels(severity).set(counts.get(severity, 0))
        metrics.UNPUBLISHED.set(due)
        self._counted = self._clock.monotonic()


def _has_run(row: EpisodeRow) -> bool:
    """Whether it is about a run that Prefect has a page of, and its log was not asked for before."""
    return "run_url" in row.annotations and ANNOTATION not in row.annotations
