"""What flows have announced, read from Kafka."""

from __future__ import annotations

from datalab.bus.reader import read_events
from schemas.envelope import Event


async def events_about(bootstrap: str, uri: str) -> list[Event]:
    """The events of the quality gate and of the tables for one source."""
    found = read_events(bootstrap, ["lab.quality", "lab.datasets"])
    return [event async for _, event in found if event.data.get("source_uri") == uri]
