"""Acknowledgements: somebody has taken an alert on. It is not told again and not escalated; its end is told."""

from __future__ import annotations

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.logs import get_logger
from datalab.store.engine import Sessions
from datalab.store.tables.notifier import AlertRow
from datalab.store.tables.notifier_alerting import EscalationRow, ToldRow
from services.notifier.statements import lock_alerts

log = get_logger(__name__)


class Acknowledgements:
    """Who has taken on which alert, in Postgres."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def take(self, key: str, by: str, comment: str) -> AlertRow | None:
        """Acknowledge the alert of that episode or fingerprint. The first to do so stays the one; None without such an
        alert. One that is over is left as it is."""
        async with self._sessions.begin() as session:
            row = await _locked(session, key)
            if row is None or row.status != "firing" or row.acked_at is not None:
                return row
            row.acked_by, row.ack_comment, row.acked_at = by, comment, func.now()
            await session.execute(delete(EscalationRow).where(EscalationRow.episode == row.episode))
            await session.execute(update(ToldRow).where(ToldRow.episode == row.episode).values(next_at=None))
            await session.flush()
            await session.refresh(row)
            log.info("alert.acknowledged", episode=row.episode, fingerprint=row.fingerprint, by=by)
            return row

    async def give_back(self, key: str) -> AlertRow | None:
        """Nobody has it any more: it is told again in its turn. Escalations that were called off stay so."""
        async with self._sessions.begin() as session:
            row = await _locked(session, key)
            if row is None:
                return None
            row.acked_by = row.ack_comment = row.acked_at = None
            again = update(ToldRow).where(ToldRow.episode == row.episode, ToldRow.repeat_s > 0)
            await session.execute(
                again.values(next_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, ToldRow.repeat_s))
            )
            await session.flush()
            await session.refresh(row)
            return row


async def _locked(session: AsyncSession, key: str) -> AlertRow | None:
    """The alert of that episode, or the newest of that fingerprint. Locked in the order in which events of the alert
    lock: its escalations, who was told, the alert."""
    by_key = or_(AlertRow.episode == key, AlertRow.fingerprint == key)
    newest = select(AlertRow.episode, AlertRow.fingerprint).where(by_key)
    found = (await session.execute(newest.order_by(AlertRow.starts_at.desc(), AlertRow.created_at.desc()))).first()
    if found is None:
        return None
    episode, fingerprint = found
    await lock_alerts(session, [fingerprint])
    return await session.get(AlertRow, episode, with_for_update=True)
