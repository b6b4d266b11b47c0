"""Where a trace comes from: events on Kafka, triggers and deliveries in Postgres. It only reads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any

from sqlalchemy import or_, select

from datalab.bus.reader import read_events
from datalab.cli.trace_tree import Delivery, Trigger
from datalab.store.engine import create_engine, create_sessions
from datalab.store.tables.bridge import TriggerRow
from datalab.store.tables.notifier import DeliveryRow
from schemas.catalog import EVENT_TYPES
from schemas.envelope import Event


def event_topics() -> list[str]:
    """Every topic that holds events of the catalogue."""
    return sorted({model.topic for model in EVENT_TYPES.values()})


async def find_event(bootstrap: str, event_id: str) -> tuple[str, Event]:
    """Where the event is, and the event; raises LookupError if no topic has it."""
    async for ref, event in read_events(bootstrap, event_topics()):
        if event.id == event_id:
            return str(ref), event
    raise LookupError(f"no event {event_id} on {', '.join(event_topics())}; it may be older than the retention")


async def chain_of(bootstrap: str, correlation: str) -> dict[str, tuple[str, Event]]:
    """Every event of a chain, by id; of a repeated event the first record."""
    chain: dict[str, tuple[str, Event]] = {}
    async for ref, event in read_events(bootstrap, event_topics()):
        if event.correlation == correlation:
            chain.setdefault(event.id, (str(ref), event))
    return chain


async def ledgers_of(
    database_url: str, correlation: str, events: Collection[str]
) -> tuple[list[Trigger], list[Delivery]]:
    """What the bridge and the notifier noted about a chain. Raises what SQLAlchemy raises."""
    engine = create_engine(database_url)
    try:
        async with create_sessions(engine)() as session:
            triggers, deliveries = [
                (
                    await session.scalars(
                        select(table).where(or_(table.correlation_id == correlation, table.event_id.in_(events)))
                    )
                ).all()
                for table in (TriggerRow, DeliveryRow)
            ]
            return [_as(Trigger, row) for row in triggers], [_as(Delivery, row) for row in deliveries]
    finally:
        await engine.dispose()


def _as(kind: type[Any], row: Any) -> Any:
    return kind(**{column.name: getattr(row, column.name) for column in fields(kind)})
