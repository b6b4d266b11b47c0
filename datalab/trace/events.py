"""The events of a chain, found on Kafka. It only reads."""

from __future__ import annotations

from datalab.bus.reader import read_events
from datalab.bus.user_topics import user_topics
from schemas.catalog import EVENT_TYPES
from schemas.envelope import Event


async def event_topics(bootstrap: str) -> list[str]:
    """Every topic that holds events: those of the catalogue and those of users' own types. Raises ConnectionError
    without a broker."""
    return sorted({model.topic for model in EVENT_TYPES.values()}) + await user_topics(bootstrap)


async def find_event(bootstrap: str, event_id: str) -> tuple[str, Event]:
    """Where the event is, and the event; raises LookupError if no topic has it."""
    topics = await event_topics(bootstrap)
    async for ref, event in read_events(bootstrap, topics):
        if event.id == event_id:
            return str(ref), event
    raise LookupError(f"no event {event_id} on {', '.join(topics)}; it may be older than the retention")


async def chain_of(bootstrap: str, correlation: str) -> dict[str, tuple[str, Event]]:
    """Every event of a chain, by id; of a repeated event the first record."""
    chain: dict[str, tuple[str, Event]] = {}
    async for ref, event in read_events(bootstrap, await event_topics(bootstrap)):
        if event.correlation == correlation:
            chain.setdefault(event.id, (str(ref), event))
    return chain
