"""Measurements: the newest value of each that somebody asks for, and the one before it.

What is not in `KEPT` is passed over on purpose: the topic may carry far more than the lab's pages and metrics show.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor_health import MeasurementRow
from schemas import metrics as names
from schemas.metrics import MetricSampled
from services.monitor.bulk import as_arrays, rows_of, waves
from services.monitor.reading import Occurrence

# Each with the label that tells values of one subject apart, None where there is one value a subject.
KEPT: dict[str, str | None] = {
    names.RUN_CPU: "run_id",
    names.RUN_MEMORY_PEAK: "run_id",
    names.SERVICE_CPU: None,
    names.SERVICE_MEMORY: None,
    names.TOPIC_LAG: "group",
    names.TOPIC_RECORDS: None,
    names.TOPIC_SIZE: None,
    names.TABLE_AGE: None,
    names.TABLE_ROWS: None,
    names.TABLE_FILES: None,
    names.TABLE_SIZE: None,
}
_GIVEN = ("name", "label", "of", "value", "measured_at")
STORED, UNKNOWN, UNUSABLE = "stored", "unknown", "unusable"


async def remember(session: AsyncSession, occurrences: Sequence[Occurrence], now: datetime) -> Counter[str]:
    """Store the measurements that are the newest of their kind; returns how many had which outcome."""
    outcomes: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    for event, data in occurrences:
        if type(data) is MetricSampled:
            outcome, row = _row(data, min(event.time, now))
            outcomes[outcome] += 1
            rows += [row] if row else []
    for wave in waves(_two_newest(rows), key=_kind):
        # Sorted, so that two instances lock them in the same order.
        await session.execute(_newest_wins(), as_arrays(_GIVEN, sorted(wave, key=_kind)))
    return outcomes


def _row(data: MetricSampled, measured_at: datetime) -> tuple[str, dict[str, Any] | None]:
    if data.name not in KEPT:
        return UNKNOWN, None
    label = KEPT[data.name]
    tells_apart = data.labels.get(label) if label else ""
    if tells_apart is None or not math.isfinite(data.value):
        return UNUSABLE, None
    values = (data.name, tells_apart, data.of, data.value, measured_at)
    return STORED, dict(zip(_GIVEN, values, strict=True))


def _kind(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["name"], row["label"], row["of"]


def _two_newest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last two of each kind, as storing one after another would leave them: a latecomer changes nothing."""
    kept: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        before = kept.get(_kind(row), [])[-1:]
        if not before or before[0]["measured_at"] < row["measured_at"]:
            kept[_kind(row)] = [*before, row]
    return [row for two in kept.values() for row in two]


@cache
def _newest_wins() -> Insert:
    table = MeasurementRow.metadata.tables[MeasurementRow.__tablename__]
    new = insert(table).from_select(_GIVEN, rows_of(table, _GIVEN))
    return new.on_conflict_do_update(
        index_elements=["name", "label", "of"],
        set_={
            "value": new.excluded.value,
            "measured_at": new.excluded.measured_at,
            "previous_value": table.c.value,
            "previous_at": table.c.measured_at,
        },
        where=table.c.measured_at < new.excluded.measured_at,
    )
