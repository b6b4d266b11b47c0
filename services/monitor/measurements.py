"""Measurements: the newest value of each that somebody asks for, and the one before it.

There may be many, and alerts wait behind them: each is one statement, built once, in a transaction of its own. What is
not in `KEPT` is passed over on purpose: the topic may carry far more than the lab's pages and metrics show.
"""

from __future__ import annotations

import math
from datetime import datetime

from sqlalchemy.dialects.postgresql import Insert, insert

from datalab.store.engine import Sessions
from datalab.store.tables.monitor_health import MeasurementRow
from schemas import metrics as names
from schemas.envelope import Event
from schemas.metrics import MetricSampled

# Each with the label that tells values of one subject apart, None where there is one value a subject.
KEPT: dict[str, str | None] = {
    names.RUN_CPU: "run_id",
    names.RUN_MEMORY_PEAK: "run_id",
    names.SERVICE_CPU: None,
    names.SERVICE_MEMORY: None,
    names.TOPIC_LAG: "group",
    names.TOPIC_RECORDS: None,
    names.TABLE_AGE: None,
    names.TABLE_ROWS: None,
    names.TABLE_FILES: None,
    names.TABLE_SIZE: None,
}
STORED, UNKNOWN, UNUSABLE = "stored", "unknown", "unusable"


async def remember(sessions: Sessions, event: Event, data: MetricSampled, now: datetime) -> str:
    """Store a measurement if it is the newest of its kind; returns what became of it. Durable on return."""
    if data.name not in KEPT:
        return UNKNOWN
    label = KEPT[data.name]
    tells_apart = data.labels.get(label) if label else ""
    if tells_apart is None or not math.isfinite(data.value):
        return UNUSABLE
    values = {"name": data.name, "label": tells_apart, "of": data.of, "value": data.value}
    async with sessions() as session:
        connection = await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        await connection.execute(_NEWEST_WINS, {**values, "measured_at": min(event.time, now)})
    return STORED


def _newest_wins() -> Insert:
    table = MeasurementRow.__table__
    new = insert(MeasurementRow)
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


_NEWEST_WINS = _newest_wins()
