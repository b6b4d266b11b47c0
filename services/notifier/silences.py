"""Silences: made, listed, changed and ended. What they keep from being told is `verdicts`' business."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import func, select, tuple_, update

from datalab.store.engine import Sessions
from datalab.store.tables.notifier import AlertRow
from datalab.store.tables.notifier_alerting import SilenceRow, ToldRow
from services.notifier.matching import Matchers, matches

State = Literal["pending", "active", "expired"]


@dataclass(frozen=True)
class NewSilence:
    """What to silence, from when (None: now), for how long, who says so and why."""

    matchers: Matchers
    starts_at: datetime | None
    ends_at: datetime
    author: str
    comment: str


class Silences:
    """Silences in Postgres."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def add(self, new: NewSilence, key: str | None) -> SilenceRow:
        """Make it. The same `key` again answers with the one that was made, so that a retry makes no second."""
        id_ = str(uuid.uuid5(uuid.NAMESPACE_URL, f"silence/{key}")) if key else str(uuid.uuid4())
        async with self._sessions.begin() as session:
            row = await session.get(SilenceRow, id_)
            if row is None:
                row = SilenceRow(
                    id=id_,
                    matchers=new.matchers.model_dump(),
                    starts_at=new.starts_at or func.now(),
                    ends_at=new.ends_at,
                    author=new.author,
                    comment=new.comment,
                )
                session.add(row)
                await session.flush()
                await session.refresh(row)
            return row

    async def find(self, id_: str) -> SilenceRow | None:
        """The silence of that id."""
        async with self._sessions() as session:
            return await session.get(SilenceRow, id_)

    async def list(self, state: State | None, before: tuple[datetime, str] | None, limit: int) -> Sequence[SilenceRow]:
        """The newest first, those before the given position."""
        now = func.now()
        statement = select(SilenceRow).order_by(SilenceRow.created_at.desc(), SilenceRow.id.desc())
        if state == "expired":
            statement = statement.where(SilenceRow.ends_at <= now)
        elif state == "pending":
            statement = statement.where(SilenceRow.starts_at > now, SilenceRow.ends_at > now)
        elif state == "active":
            statement = statement.where(SilenceRow.starts_at <= now, SilenceRow.ends_at > now)
        if before is not None:
            statement = statement.where(tuple_(SilenceRow.created_at, SilenceRow.id) < before)
        async with self._sessions() as session:
            return (await session.scalars(statement.limit(limit))).all()

    async def expire(self, id_: str, by: str) -> SilenceRow | None:
        """End it now; again is no error. What it kept back and still fires is told at once."""
        async with self._sessions.begin() as session:
            row = await session.get(SilenceRow, id_, with_for_update=True)
            if row is None:
                return None
            over = update(SilenceRow).where(SilenceRow.id == id_, SilenceRow.ends_at > func.now())
            ended = await session.scalar(over.values(ends_at=func.now(), ended_by=by).returning(SilenceRow.id))
            if ended is not None:
                await session.execute(update(ToldRow).where(~ToldRow.heard).values(next_at=func.now()))
            await session.refresh(row)
            return row

    async def silenced(self, matchers: Matchers) -> Sequence[AlertRow]:
        """The alerts that fire now and match: what such a silence is about."""
        async with self._sessions() as session:
            firing = await session.scalars(select(AlertRow).where(AlertRow.status == "firing"))
            return [row for row in firing if matches(row, matchers)]
