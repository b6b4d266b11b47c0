"""The relay's memory: states on their way to Kafka, the cursor, and which runs still have to end. Postgres only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from datalab.bus.publisher import Publisher
from datalab.store.engine import Sessions, create_sessions
from datalab.store.tables.bridge import CursorRow, RunStateRow, TriggerRow
from schemas.envelope import Event
from services.bridge import metrics

_CURSOR = "prefect-run-events"
_LEADER_LOCK = 4_711_202_612  # any number, as long as nothing else takes it
_BATCH = 200


class RunNews(NamedTuple):
    """What was found out about one run: its latest state, and the events of all states that have one, in order."""

    run_id: str
    state_type: str
    finished: bool
    events: Sequence[Event]


class Outbox:
    """Stores first, publishes then, and marks what is out: after a crash the rest goes out under the same ids."""

    def __init__(self, engine: AsyncEngine, publisher: Publisher) -> None:
        self._engine, self._publisher = engine, publisher
        self._sessions: Sessions = create_sessions(engine)

    @asynccontextmanager
    async def lead(self) -> AsyncIterator[bool]:
        """Whether this instance is the one that relays; it stays so until the block ends or its connection breaks."""
        async with self._engine.begin() as connection:
            statement = text("SELECT pg_try_advisory_xact_lock(:lock)")
            yield bool(await connection.scalar(statement, {"lock": _LEADER_LOCK}))

    async def cursor(self) -> datetime | None:
        """The time of the newest event of Prefect that was seen."""
        async with self._sessions() as session:
            row = await session.get(CursorRow, _CURSOR)
            return row.position if row else None

    async def move_cursor(self, position: datetime) -> None:
        """Note that everything up to here is stored. The cursor never goes back by itself."""
        statement = insert(CursorRow).values(name=_CURSOR, position=position)
        later = func.greatest(CursorRow.position, statement.excluded.position)
        async with self._sessions.begin() as session:
            await session.execute(
                statement.on_conflict_do_update(
                    index_elements=["name"], set_={"position": later, "updated_at": func.now()}
                )
            )

    async def known(self, event_ids: Iterable[str]) -> set[str]:
        """Those of these events that are stored."""
        query = select(RunStateRow.event_id).where(RunStateRow.event_id.in_(list(event_ids)))
        async with self._sessions() as session:
            return set(await session.scalars(query))

    async def unfinished_runs(self, limit: int | None) -> dict[str, str | None]:
        """Runs that triggers started and whose end has not been seen, newest first, with the state last noted."""
        query = (
            select(TriggerRow.flow_run_id, TriggerRow.run_state)
            .where(TriggerRow.status == "created", ~TriggerRow.run_finished)
            .order_by(TriggerRow.created_at.desc())
            .limit(limit)
        )
        async with self._sessions() as session:
            return {id_: state for id_, state in await session.execute(query) if id_ is not None}

    async def add(self, news: RunNews) -> None:
        """Store what is new of a run, and its state with the trigger that started it."""
        rows = [
            {
                "event_id": event.id,
                "run_id": news.run_id,
                "state_id": event.data["state_id"],
                "event_type": event.type,
                "state_name": event.data["state_name"],
                "event": event.model_dump(mode="json"),
                "occurred_at": event.time,
            }
            for event in news.events
        ]
        async with self._sessions.begin() as session:
            if rows:
                await session.execute(insert(RunStateRow).on_conflict_do_nothing(), rows)
            await session.execute(
                update(TriggerRow)
                .where(TriggerRow.flow_run_id == news.run_id)
                .values(run_state=news.state_type, run_finished=news.finished, updated_at=func.now())
            )

    async def publish_pending(self) -> int:
        """Publish what is stored and not out yet, each run's states in order; returns how many."""
        query = select(RunStateRow).where(RunStateRow.published_at.is_(None)).order_by(RunStateRow.seq).limit(_BATCH)
        count = 0
        while True:
            async with self._sessions() as session:
                rows = (await session.scalars(query)).all()
            by_run: dict[str, list[RunStateRow]] = {}
            for row in rows:
                by_run.setdefault(row.run_id, []).append(row)
            out: list[str] = []
            publishing = (self._publish(own, out) for own in by_run.values())
            # Exceptions are kept back until all have ended and what is out is marked.
            answers = await asyncio.gather(*publishing, return_exceptions=True)
            await self._mark(out)
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
            count += len(rows)
            if len(rows) < _BATCH:
                return count

    async def _publish(self, rows: Sequence[RunStateRow], out: list[str]) -> None:
        """Publish the states of one run, one after the other; what is acknowledged is added to `out`."""
        for row in rows:
            await self._publisher.publish(Event.model_validate(row.event))
            metrics.STATES_PUBLISHED.labels(row.event_type).inc()
            out.append(row.event_id)

    async def _mark(self, event_ids: Sequence[str]) -> None:
        if not event_ids:
            return
        statement = update(RunStateRow).where(RunStateRow.event_id.in_(event_ids)).values(published_at=func.now())
        async with self._sessions.begin() as session:
            await session.execute(statement)
