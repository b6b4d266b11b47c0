"""The ledger's read side: deliveries, alerts and the balance, as the API shows them. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.engine import Sessions
from datalab.store.tables.notifier import AlertRow, AttemptRow, DeliveryRow
from services.notifier.circumstances import circumstances
from services.notifier.config import NotifyConfig
from services.notifier.verdicts import Circumstances

STATUSES = ("delivered", "pending", "suppressed", "dead")
FILTERS = ("event_id", "status", "channel", "fingerprint", "correlation_id", "subscription_id", "target")
Position = tuple[datetime, str]


class Records:
    """Reads; each method is one statement or one snapshot."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def deliveries(
        self, filters: Mapping[str, str], before: Position | None, limit: int
    ) -> Sequence[DeliveryRow]:
        """The newest first, those before the given position."""
        statement = select(DeliveryRow).order_by(DeliveryRow.created_at.desc(), DeliveryRow.id.desc())
        for name, value in filters.items():
            statement = statement.where(getattr(DeliveryRow, name) == value)
        if before is not None:
            statement = statement.where(tuple_(DeliveryRow.created_at, DeliveryRow.id) < before)
        async with self._sessions() as session:
            return (await session.scalars(statement.limit(limit))).all()

    async def delivery(self, delivery_id: str) -> tuple[DeliveryRow, Sequence[AttemptRow]] | None:
        """One delivery with its recorded attempts in order."""
        attempts = select(AttemptRow).where(AttemptRow.delivery_id == delivery_id).order_by(AttemptRow.id)
        async with self._sessions() as session:
            row = await session.get(DeliveryRow, delivery_id)
            return None if row is None else (row, (await session.scalars(attempts)).all())

    async def alerts(self, status: str | None, before: Position | None, limit: int) -> Sequence[AlertRow]:
        """The last changed first."""
        statement = select(AlertRow).order_by(AlertRow.updated_at.desc(), AlertRow.episode.desc())
        if status is not None:
            statement = statement.where(AlertRow.status == status)
        if before is not None:
            statement = statement.where(tuple_(AlertRow.updated_at, AlertRow.episode) < before)
        async with self._sessions() as session:
            return (await session.scalars(statement.limit(limit))).all()

    async def alert(self, key: str) -> AlertRow | None:
        """The alert of that episode, or the newest episode of that fingerprint."""
        async with self._sessions() as session:
            return await _alert(session, key)

    async def judged(self, key: str, config: NotifyConfig) -> tuple[AlertRow, Circumstances] | None:
        """The alert of that episode or fingerprint with what a decision about it depends on."""
        async with self._sessions() as session:
            row = await _alert(session, key)
            return None if row is None else (row, await circumstances(session, [row], config))

    async def tallies(self, event_ids: Sequence[str]) -> dict[str, dict[str, int]]:
        """Deliveries by status for each of these events."""
        statement = (
            select(DeliveryRow.event_id, DeliveryRow.status, func.count())
            .where(DeliveryRow.event_id.in_(event_ids))
            .group_by(DeliveryRow.event_id, DeliveryRow.status)
        )
        found: dict[str, dict[str, int]] = {}
        async with self._sessions() as session:
            for event, status, count in (await session.execute(statement)).all():
                found.setdefault(event, {})[status] = count
        return found

    async def ledger(self) -> dict[str, dict[str, int]]:
        """By channel: what was due, and how much of it is in each status, from one snapshot."""
        by_status = [func.count().filter(DeliveryRow.status == status).label(status) for status in STATUSES]
        statement = (
            select(DeliveryRow.channel, func.count().label("due"), *by_status)
            .group_by(DeliveryRow.channel)
            .order_by(DeliveryRow.channel)
        )
        async with self._sessions() as session:
            rows = (await session.execute(statement)).mappings().all()
        return {row["channel"]: {name: row[name] for name in ("due", *STATUSES)} for row in rows}

    async def oldest_due_s(self) -> float | None:
        """How many seconds the longest waiting delivery is overdue and in nobody's hands; None if none is."""
        free = or_(DeliveryRow.claimed_until.is_(None), DeliveryRow.claimed_until < func.now())
        overdue = func.extract("epoch", func.now() - func.min(DeliveryRow.next_attempt_at))
        statement = select(overdue).where(
            DeliveryRow.status == "pending", DeliveryRow.next_attempt_at <= func.now(), free
        )
        async with self._sessions() as session:
            seconds = await session.scalar(statement)
        return None if seconds is None else float(seconds)


async def _alert(session: AsyncSession, key: str) -> AlertRow | None:
    by_key = or_(AlertRow.episode == key, AlertRow.fingerprint == key)
    found: AlertRow | None = await session.scalar(
        select(AlertRow).where(by_key).order_by(AlertRow.starts_at.desc(), AlertRow.created_at.desc()).limit(1)
    )
    return found
