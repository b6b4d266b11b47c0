"""What came to its end long ago leaves the ledger, a few thousand rows at a time, so that it does not grow without end.

It is kept for longer than topics keep events: one that is read again finds its deliveries, and adds none. What is due,
still to be reported, or told of an alert that fires is never deleted, however old. The audit log stays.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from prometheus_client import Counter
from sqlalchemy import ColumnElement, Select, delete, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from datalab.runtime.logs import get_logger
from datalab.runtime.rounds import Rounds
from datalab.store.engine import Sessions
from datalab.store.tables.notifier import AlertRow, DeliveryRow
from datalab.store.tables.notifier_alerting import GroupRow, SilenceRow, ToldRow

log = get_logger(__name__)
PRUNED = Counter("datalab_notifier_pruned_rows", "Rows older than NOTIFIER_KEEP_DAYS that were deleted", ["table"])
_EVERY_S = 3600.0
_BATCH = 2_000


class Pruning:
    """Deletes what is older than `keep`, by the database's clock. Several instances may do so at once."""

    def __init__(self, sessions: Sessions, keep: timedelta) -> None:
        self._sessions, self._keep = sessions, keep

    async def run(self, stop: asyncio.Event) -> None:
        """Prune now and then until `stop` is set."""
        await Rounds("pruning", _EVERY_S, self.prune).run(stop)

    async def prune(self) -> None:
        """All that is old by now."""
        before = func.now() - self._keep
        # Deliveries first: an alert stays for as long as one of its deliveries does.
        await self._prune(DeliveryRow.id, select(DeliveryRow.id).where(*_old_deliveries(before)))
        await self._prune(AlertRow.episode, select(AlertRow.episode).where(*_old_alerts(before)))
        await self._prune(GroupRow.group_key, select(GroupRow.group_key).where(*_old_groups(before)))
        await self._prune(SilenceRow.id, select(SilenceRow.id).where(SilenceRow.ends_at < before))

    async def _prune(self, key: InstrumentedAttribute[str], old: Select[Any]) -> None:
        table, gone = key.class_.__tablename__, _BATCH
        while gone >= _BATCH:  # more where Postgres, having met a change, chooses a second time
            # Rows that somebody is changing are left for the next time.
            chosen = old.limit(_BATCH).with_for_update(skip_locked=True)
            async with self._sessions.begin() as session:
                gone = len((await session.scalars(delete(key.class_).where(key.in_(chosen)).returning(key))).all())
            if gone:
                PRUNED.labels(table).inc(gone)
                log.info("ledger.pruned", table=table, rows=gone)


def _old_deliveries(before: ColumnElement[Any]) -> tuple[ColumnElement[bool], ...]:
    row, other = DeliveryRow, aliased(DeliveryRow)
    firing = exists().where(AlertRow.episode == row.episode, AlertRow.status == "firing")
    remembered = exists().where(ToldRow.delivery_id == row.id)
    carries = exists().where(other.carried_by == row.id, other.status == "pending")
    answered = exists().where(other.answers == row.id, other.status == "pending")
    return (
        row.created_at < before,  # what an index is on
        row.finished_at < before,
        row.status != "pending",
        or_(row.outcome_published, row.status == "suppressed"),
        ~firing,
        ~remembered,
        ~carries,
        ~answered,
    )


def _old_alerts(before: ColumnElement[Any]) -> tuple[ColumnElement[bool], ...]:
    # By the fingerprint, which an index is on.
    due = exists().where(DeliveryRow.fingerprint == AlertRow.fingerprint, DeliveryRow.episode == AlertRow.episode)
    told = exists().where(ToldRow.fingerprint == AlertRow.fingerprint, ToldRow.episode == AlertRow.episode)
    return AlertRow.status == "resolved", AlertRow.updated_at < before, ~due, ~told


def _old_groups(before: ColumnElement[Any]) -> tuple[ColumnElement[bool], ...]:
    told = exists().where(ToldRow.group_key == GroupRow.group_key)
    return GroupRow.due_at.is_(None), GroupRow.flushed_at < before, ~told
