"""Checks of services: the newest known state of each. Repeats and latecomers change nothing."""

from __future__ import annotations

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.store.tables.monitor_health import ServiceCheckRow
from schemas.envelope import Event, EventData
from schemas.services import ServiceDegraded, ServiceRecovered


async def remember(session: AsyncSession, event: Event, data: EventData) -> None:
    """Store what the event says of a check, if it is the newest of it."""
    if not isinstance(data, ServiceDegraded | ServiceRecovered):
        return
    new = insert(ServiceCheckRow).values(
        service=data.service,
        check=data.check,
        failing=isinstance(data, ServiceDegraded),
        reason=data.reason,
        since=data.since,
        occurred_at=event.time,
    )
    replaced = {name: new.excluded[name] for name in ("failing", "reason", "since", "occurred_at")}
    await session.execute(
        new.on_conflict_do_update(
            index_elements=["service", "check"],
            set_=replaced,
            where=ServiceCheckRow.occurred_at <= new.excluded.occurred_at,
        )
    )
