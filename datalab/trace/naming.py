"""Which chain an id belongs to: of an event, a run, a trigger, an alert (fingerprint or episode) or a delivery.

The ledgers know most; what they do not know is looked for on Kafka. It only reads.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from datalab.bus.reader import read_events
from datalab.store.engine import Sessions
from datalab.store.tables.bridge import RunStateRow, TriggerRow
from datalab.store.tables.notifier import AlertRow, DeliveryRow
from datalab.trace.events import event_topics
from schemas.envelope import Event

Kind = Literal["event", "run", "trigger", "alert", "delivery"]
# Fields by which events speak of other things.
_FIELDS: dict[str, Kind] = {"run_id": "run", "delivery_id": "delivery", "fingerprint": "alert", "episode": "alert"}


class Named(NamedTuple):
    """What the id is of, and the id of the first event of its chain."""

    kind: Kind
    correlation: str


async def named_in_ledgers(sessions: Sessions, id_: str) -> Named | None:
    """What the ledgers know. An alert's fingerprint has many episodes; the newest is meant."""
    async with sessions() as session:
        for kind, query in _questions(id_):
            if (correlation := await session.scalar(query.limit(1))) is not None:
                return Named(kind, correlation)
        return await _run_state(session, id_)


async def named_on_kafka(bootstrap: str, id_: str) -> Named:
    """What the topics know: an event of this id, else the newest that speaks of it. Raises LookupError."""
    topics, spoken_of = await event_topics(bootstrap), None
    async for _, event in read_events(bootstrap, topics):
        if event.id == id_:
            return Named("event", event.correlation)
        spoken_of = _speaks_of(event, id_) or spoken_of
    if spoken_of is None:
        raise LookupError(
            f"no event, run, trigger, alert or delivery {id_}: not in the ledgers, nor on {', '.join(topics)}; "
            "it may be older than the retention"
        )
    return spoken_of


def _questions(id_: str) -> list[tuple[Kind, Select[tuple[Any]]]]:
    """The likeliest first; each finds the id of a chain."""
    return [
        ("event", select(TriggerRow.correlation_id).where(TriggerRow.event_id == id_)),
        ("trigger", select(TriggerRow.correlation_id).where(TriggerRow.id == id_)),
        ("run", select(TriggerRow.correlation_id).where(TriggerRow.flow_run_id == id_)),
        ("delivery", select(DeliveryRow.correlation_id).where(DeliveryRow.id == id_)),
        ("event", select(DeliveryRow.correlation_id).where(DeliveryRow.event_id == id_)),
        (
            "alert",
            select(AlertRow.correlation_id)
            .where(or_(AlertRow.episode == id_, AlertRow.fingerprint == id_))
            .order_by(AlertRow.starts_at.desc()),
        ),
    ]


async def _run_state(session: AsyncSession, id_: str) -> Named | None:
    row = await session.scalar(
        select(RunStateRow).where(or_(RunStateRow.event_id == id_, RunStateRow.run_id == id_)).limit(1)
    )
    if row is None:
        return None
    correlation = str(row.event.get("correlationid") or row.event_id)
    return Named("event" if row.event_id == id_ else "run", correlation)


def _speaks_of(event: Event, id_: str) -> Named | None:
    return next((Named(kind, event.correlation) for name, kind in _FIELDS.items() if event.data.get(name) == id_), None)
