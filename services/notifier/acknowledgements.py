"""Acknowledgements: somebody has taken an alert on. It is not told again and not escalated; its end is told."""

from __future__ import annotations

from typing import Any

from sqlalchemy import case, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.runtime.logs import get_logger
from datalab.store.engine import Sessions
from datalab.store.tables.notifier import AlertRow
from datalab.store.tables.notifier_alerting import EscalationRow, ToldRow
from services.notifier.statements import lock_alerts

log = get_logger(__name__)
_NEVER = text("'infinity'::timestamptz")


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
            called_off = update(EscalationRow).where(EscalationRow.episode == row.episode)
            await session.execute(called_off.values(due_at=_NEVER))
            await session.execute(update(ToldRow).where(ToldRow.episode == row.episode).values(next_at=None))
            await session.flush()
            await session.refresh(row)
            log.info("alert.acknowledged", episode=row.episode, fingerprint=row.fingerprint, by=by)
            return row

    async def give_back(self, key: str) -> AlertRow | None:
        """Nobody has it any more: it is told again in its turn, and the steps that were called off are to be taken
        when it is still not acknowledged after their time, counted from now. Again is no error."""
        async with self._sessions.begin() as session:
            row = await _locked(session, key)
            if row is None or row.acked_at is None:
                return row
            row.acked_by = row.ack_comment = row.acked_at = None
            reminded = case((ToldRow.repeat_s > 0, func.now() + _seconds(ToldRow.repeat_s)))
            # Whoever was not told, since it was silenced, say, may be by now.
            again = update(ToldRow).where(ToldRow.episode == row.episode)
            await session.execute(again.values(next_at=case((ToldRow.heard, reminded), else_=func.now())))
            steps = update(EscalationRow).where(EscalationRow.episode == row.episode)
            await session.execute(steps.values(due_at=func.now() + _seconds(EscalationRow.after_s)))
            await session.flush()
            await session.refresh(row)
            return row


def _seconds(column: Any) -> Any:
    return func.make_interval(0, 0, 0, 0, 0, 0, column)


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
