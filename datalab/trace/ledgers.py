"""What the bridge and the notifier noted about a chain, from Postgres. It only reads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any

from sqlalchemy import or_, select

from datalab.store.engine import Sessions
from datalab.store.tables.bridge import TriggerRow
from datalab.store.tables.notifier import DeliveryRow
from datalab.trace.tree import Delivery, Trigger


async def ledgers_of(
    sessions: Sessions, correlation: str, events: Collection[str]
) -> tuple[list[Trigger], list[Delivery]]:
    """The triggers and deliveries of a chain and of these events. Raises what SQLAlchemy raises."""
    async with sessions() as session:
        triggers, deliveries = [
            (
                await session.scalars(
                    select(table).where(or_(table.correlation_id == correlation, table.event_id.in_(events)))
                )
            ).all()
            for table in (TriggerRow, DeliveryRow)
        ]
        return [_as(Trigger, row) for row in triggers], [_as(Delivery, row) for row in deliveries]


def _as(kind: type[Any], row: Any) -> Any:
    return kind(**{column.name: getattr(row, column.name) for column in fields(kind)})
