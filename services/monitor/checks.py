"""Checks of services: the newest known state of each. Repeats and latecomers change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor_health import ServiceCheckRow
from schemas.services import ServiceDegraded, ServiceRecovered
from services.monitor.bulk import as_arrays, rows_of
from services.monitor.reading import Occurrence

_GIVEN = ("service", "check", "failing", "reason", "since", "occurred_at")


# Looked up rather than asked with isinstance, which is slow with abstract bases, for each of thousands of events.
_TYPES = frozenset({ServiceDegraded, ServiceRecovered})


async def remember(session: AsyncSession, occurrences: Sequence[Occurrence]) -> None:
    """Store what the events say of checks, the newest of each; of two at one time, the one that arrived later."""
    newest: dict[tuple[str, str], dict[str, object]] = {}
    told = [o for o in occurrences if type(o.data) in _TYPES]
    for event, data in sorted(told, key=lambda occurrence: occurrence.event.time):
        if isinstance(data, ServiceDegraded | ServiceRecovered):
            failing = isinstance(data, ServiceDegraded)
            values = (data.service, data.check, failing, data.reason, data.since, event.time)
            newest[data.service, data.check] = dict(zip(_GIVEN, values, strict=True))
    if newest:
        # Sorted, so that two instances lock them in the same order.
        await session.execute(_newest_wins(), as_arrays(_GIVEN, [newest[key] for key in sorted(newest)]))


@cache
def _newest_wins() -> Insert:
    table = ServiceCheckRow.metadata.tables[ServiceCheckRow.__tablename__]
    new = insert(table).from_select(_GIVEN, rows_of(table, _GIVEN))
    return new.on_conflict_do_update(
        index_elements=["service", "check"],
        set_={name: new.excluded[name] for name in ("failing", "reason", "since", "occurred_at")},
        where=ServiceCheckRow.occurred_at <= new.excluded.occurred_at,
    )
