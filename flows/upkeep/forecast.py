"""How the lake goes on growing if it does so as it did between the last two maintenances. Pure figures; no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from flows.upkeep.usage_statistics import TableUsage

AHEAD = timedelta(days=30)
# Over less than this the growth of one file would be taken for a habit.
_SHORTEST = timedelta(days=1)


def expected_bytes(now: TableUsage, before: TableUsage | None) -> int | None:
    """What the newest version will hold `AHEAD` of now; None where there is no earlier figure to tell it from."""
    if before is None:
        return None
    between = now.measured_at - before.measured_at
    if between < _SHORTEST:
        return None
    return max(0, now.size_bytes + round((now.size_bytes - before.size_bytes) * (AHEAD / between)))


def days_until_full(tables: Iterable[TableUsage], before: Mapping[str, TableUsage], free_bytes: int) -> int | None:
    """Days until the tables have grown by what the disk has free; None if they do not grow, or nobody knows."""
    found = ((now, expected_bytes(now, before.get(now.table))) for now in tables)
    a_day = sum(then - now.size_bytes for now, then in found if then is not None) / AHEAD.days
    return int(free_bytes / a_day) if a_day > 0 else None
