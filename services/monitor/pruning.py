"""What is older than anybody asks for is deleted, a few thousand rows at a time, so that nothing grows without end.

What keeps an alert from being raised twice (conditions, episodes) is kept longer than any topic keeps its records: what
comes again is recognised. What is open, held back or under way is never deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, exists, func, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from datalab.runtime.clock import Clock
from datalab.runtime.logs import get_logger
from datalab.store.engine import Sessions
from datalab.store.tables.monitor import ConditionRow, EpisodeRow, OverrunRow, RunRow
from datalab.store.tables.monitor_health import MeasurementRow
from schemas.metrics import RUN_CPU, RUN_MEMORY_PEAK
from services.monitor import metrics
from services.monitor.runs import ENDED

log = get_logger(__name__)
_BATCH = 5_000


class Pruning:
    """Deletes what is older than `keep_days`. Several instances may do so at once."""

    def __init__(self, sessions: Sessions, clock: Clock, keep_days: float) -> None:
        self._sessions, self._clock, self._keep = sessions, clock, timedelta(days=keep_days)

    async def prune(self) -> None:
        """All that is old by now."""
        before = self._clock.now() - self._keep
        for keys, old in _OLD.items():
            table = keys[0].class_
            while gone := await self._delete(keys, old(before)):
                metrics.PRUNED.labels(table.__tablename__).inc(gone)
                log.info("history.pruned", table=table.__tablename__, rows=gone, before=before.isoformat())
                if gone < _BATCH:
                    break

    async def _delete(self, keys: tuple[InstrumentedAttribute[Any], ...], old: Select[Any]) -> int:
        async with self._sessions.begin() as session:
            # Rows that somebody is changing are left for the next time.
            chosen = old.limit(_BATCH).with_for_update(skip_locked=True)
            old_ones = delete(keys[0].class_).where(tuple_(*keys).in_(chosen)).returning(keys[0])
            return len((await session.execute(old_ones)).all())


def _conditions(before: datetime) -> Select[Any]:
    newest = func.greatest(ConditionRow.last_bad_at, ConditionRow.last_good_at)
    firing = exists().where(EpisodeRow.fingerprint == ConditionRow.fingerprint, EpisodeRow.status == "firing")
    return select(ConditionRow.fingerprint).where(newest < before, ConditionRow.held_event.is_(None), ~firing)


def _episodes(before: datetime) -> Select[Any]:
    return select(EpisodeRow.episode).where(
        EpisodeRow.status == "resolved", EpisodeRow.resolved_published, EpisodeRow.ends_at < before
    )


def _overruns(before: datetime) -> Select[Any]:
    under_way = exists().where(RunRow.run_id == OverrunRow.run_id, RunRow.state_type.not_in(ENDED))
    return select(OverrunRow.run_id, OverrunRow.running_since).where(
        OverrunRow.published, OverrunRow.created_at < before, ~under_way
    )


def _runs(before: datetime) -> Select[Any]:
    return select(RunRow.run_id).where(RunRow.state_type.in_(ENDED), RunRow.occurred_at < before)


def _costs(before: datetime) -> Select[Any]:
    """What runs cost; what else was measured is one row for each thing there is."""
    return select(MeasurementRow.name, MeasurementRow.label, MeasurementRow.of).where(
        or_(MeasurementRow.name == RUN_CPU, MeasurementRow.name == RUN_MEMORY_PEAK), MeasurementRow.measured_at < before
    )


# Each table by its key, with the rows of it that are old.
_OLD: dict[tuple[InstrumentedAttribute[Any], ...], Callable[[datetime], Select[Any]]] = {
    (ConditionRow.fingerprint,): _conditions,
    (EpisodeRow.episode,): _episodes,
    (OverrunRow.run_id, OverrunRow.running_since): _overruns,
    (RunRow.run_id,): _runs,
    (MeasurementRow.name, MeasurementRow.label, MeasurementRow.of): _costs,
}
