"""Who changed what: one row for each request that changes something, written before the change is made.

Paths and names only: bodies hold addresses and secrets.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from datalab.store.engine import Sessions
from datalab.store.tables.notifier import AuditRow
from services.notifier.records import Position


class Audit:
    """The log in Postgres."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def begin(self, who: str, action: str, subject: str) -> int:
        """Note that somebody is about to do something; raises what the database raises, and then nothing is done."""
        statement = insert(AuditRow).values(who=who, action=action, subject=subject).returning(AuditRow.id)
        async with self._sessions.begin() as session:
            return int((await session.execute(statement)).scalar_one())

    async def end(self, entry: int, outcome: str) -> None:
        """Note what came of it. An entry without an outcome is of a process that died on the way."""
        async with self._sessions.begin() as session:
            await session.execute(update(AuditRow).where(AuditRow.id == entry).values(outcome=outcome))

    async def entries(self, before: Position | None, limit: int) -> Sequence[AuditRow]:
        """The newest first, those before the given position."""
        statement = select(AuditRow).order_by(AuditRow.at.desc(), AuditRow.id.desc())
        if before is not None:
            at, key = before
            statement = statement.where(tuple_(AuditRow.at, AuditRow.id) < (at, int(key)))
        async with self._sessions() as session:
            return (await session.scalars(statement.limit(limit))).all()
