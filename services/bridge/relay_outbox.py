"""The relay's memory: states on their way to Kafka, the cursor, and which runs still have to end. Postgres only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Boolean, String, func, select, update, values
from sqlalchemy import column as sql_column
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from datalab.bus.publisher import Publisher, RecordRef
from datalab.runtime.logs import get_logger
from datalab.store.engine import Sessions, create_sessions
from datalab.store.tables.bridge import CursorRow, RunStateRow, TriggerRow
from schemas.catalog import topic_for
from schemas.codec import EncodedRecord, encode
from schemas.envelope import Event
from services.bridge import metrics

log = get_logger(__name__)
_CURSOR = "prefect-run-events"
_BATCH = 200
_GIVEN = values(sql_column("run", String), sql_column("state", String), sql_column("finished", Boolean), name="given")


class RunNews(NamedTuple):
    """What was found out about one run: its latest state, and the events of all states that have one, in order."""

    run_id: str
    state_type: str
    finished: bool
    events: Sequence[Event]


class Outbox:
    """Stores first, publishes then, and marks what is out: after a crash the rest goes out under the same ids."""

    def __init__(self, engine: AsyncEngine, publisher: Publisher) -> None:
        self._publisher = publisher
        self._sessions: Sessions = create_sessions(engine)
        self._pending = True
        self.steps = 0  # grows with everything that is stored or published

    def suspect(self) -> None:
        """Another instance may have left something behind: the next publishing looks."""
        self._pending = True

    async def cursor(self) -> datetime | None:
        """The time of the newest event of Prefect that was seen."""
        async with self._sessions() as session:
            row = await session.get(CursorRow, _CURSOR)
            return row.position if row else None

    async def move_cursor(self, position: datetime) -> None:
        """Note that everything up to here is stored. The cursor never goes back by itself."""
        statement = insert(CursorRow).values(name=_CURSOR, position=position)
        self.steps += 1
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

    async def add(self, news: Sequence[RunNews]) -> set[str]:
        """Store what is new of these runs, and their states with the triggers that started them. Returns the ids of
        the events that were not stored before."""
        rows = [_row(item.run_id, event) for item in news for event in item.events]
        new: set[str] = set()
        async with self._sessions.begin() as session:
            for start in range(0, len(rows), _BATCH):
                statement = insert(RunStateRow).values(rows[start : start + _BATCH]).on_conflict_do_nothing()
                new |= set(await session.scalars(statement.returning(RunStateRow.event_id)))
            given = _GIVEN.data([(item.run_id, item.state_type, item.finished) for item in news])
            await session.execute(
                update(TriggerRow)
                .where(TriggerRow.flow_run_id == given.c.run)
                .values(run_state=given.c.state, run_finished=given.c.finished, updated_at=func.now())
            )
        self._pending |= bool(new)
        self.steps += 1
        return new

    async def publish_pending(self) -> None:
        """Publish what is stored and not out yet, each run's states in order. What Kafka refuses for ever is marked,
        and holds up nothing. Raises ConnectionError or TimeoutError when the broker is away."""
        query = select(RunStateRow).where(RunStateRow.published_at.is_(None)).order_by(RunStateRow.seq).limit(_BATCH)
        while self._pending:
            async with self._sessions() as session:
                rows = (await session.scalars(query)).all()
            by_run: dict[str, deque[RunStateRow]] = {}
            for row in rows:
                by_run.setdefault(row.run_id, deque()).append(row)
            failed: Exception | None = None
            while by_run and failed is None:
                failed = await self._publish([own.popleft() for own in by_run.values()])
                by_run = {run_id: own for run_id, own in by_run.items() if own}
            if failed is not None:
                raise failed
            self._pending = len(rows) == _BATCH

    async def _publish(self, rows: Sequence[RunStateRow]) -> Exception | None:
        """Publish one state of each of several runs, and mark what is out; returns what was in the way of others."""
        records = [_record(row) for row in rows]
        sending = [record for record in records if not isinstance(record, Exception)]
        sent = iter(await self._publisher.publish_all(sending) if sending else [])
        outcomes = [record if isinstance(record, Exception) else next(sent) for record in records]
        out, refused, failed = [], dict[str, str](), None
        for row, outcome in zip(rows, outcomes, strict=True):
            if isinstance(outcome, RecordRef):
                metrics.STATES_PUBLISHED.labels(row.event_type).inc()
                out.append(row.event_id)
            elif isinstance(outcome, ConnectionError | TimeoutError):
                failed = outcome
            else:
                metrics.STATES_REFUSED.inc()
                log.error("state.refused", run_id=row.run_id, event_id=row.event_id, reason=str(outcome)[:300])
                refused[row.event_id] = f"{type(outcome).__name__}: {outcome}"[:2000]
        await self._mark(out, refused)
        self.steps += len(out)
        return failed

    async def _mark(self, out: Sequence[str], refused: Mapping[str, str]) -> None:
        async with self._sessions.begin() as session:
            if out:
                statement = update(RunStateRow).where(RunStateRow.event_id.in_(out))
                await session.execute(statement.values(published_at=func.now()))
            for event_id, reason in refused.items():
                statement = update(RunStateRow).where(RunStateRow.event_id == event_id)
                await session.execute(statement.values(published_at=func.now(), refused=reason))


def _row(run_id: str, event: Event) -> dict[str, object]:
    return {
        "event_id": event.id,
        "run_id": run_id,
        "state_id": event.data["state_id"],
        "event_type": event.type,
        "state_name": event.data["state_name"],
        "event": event.model_dump(mode="json"),
        "occurred_at": event.time,
    }


def _record(row: RunStateRow) -> tuple[str, EncodedRecord] | Exception:
    try:
        return topic_for(row.event_type), encode(Event.model_validate(row.event))
    except ValueError as error:
        return error
