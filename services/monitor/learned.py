"""How long runs of a deployment usually take, and the limit that follows: beyond p99 × factor of its own history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor import RunRow
from services.monitor.limits import Limit

_HISTORY = timedelta(days=30)
_FEWEST = 20  # completed runs; fewer say nothing about the longest in a hundred
_SHORTEST_S = 60.0  # a second's flow that takes ten is slow, and nothing to wake anybody for
_KEPT_S = 60.0

Of = tuple[str, str | None]


class _Known(NamedTuple):
    at: float
    p99_s: float | None


class LearnedDurations:
    """p99 of the completed runs of the last 30 days, read at most once a minute for each flow and deployment."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._known: dict[Of, _Known] = {}

    async def limits(self, session: AsyncSession, of: Iterable[Of], factor: Limit, now: datetime) -> Mapping[Of, float]:
        """Seconds that a run may take by its history; none for those with too little of it, or with factor 0."""
        wanted = {key: factor.of(*key) for key in set(of)}
        asked = {key for key, times in wanted.items() if times}
        self._known = {key: known for key, known in self._known.items() if self._monotonic() - known.at < _KEPT_S}
        await self._read(session, asked - self._known.keys(), now)
        found = {key: self._known[key].p99_s for key in asked}
        return {key: max(p99_s * wanted[key], _SHORTEST_S) for key, p99_s in found.items() if p99_s is not None}

    async def _read(self, session: AsyncSession, missing: set[Of], now: datetime) -> None:
        if not missing:
            return
        deployment = func.coalesce(RunRow.deployment, "")
        query = select(
            RunRow.flow, RunRow.deployment, func.percentile_cont(0.99).within_group(RunRow.duration_s).label("p99")
        ).where(
            RunRow.state_type == "COMPLETED",
            RunRow.duration_s.is_not(None),
            RunRow.occurred_at > now - _HISTORY,
            tuple_(RunRow.flow, deployment).in_([(flow, name or "") for flow, name in missing]),
        )
        rows = await session.execute(query.group_by(RunRow.flow, RunRow.deployment).having(func.count() >= _FEWEST))
        p99 = {(row.flow, row.deployment): float(row.p99) for row in rows}
        self._known |= {key: _Known(self._monotonic(), p99.get(key)) for key in missing}
