"""The run that a flow is in and the event behind it, and events that name both. No Prefect here; see `flows.runs`."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.envelope import Event, EventData, event_id, new_event


@dataclass(frozen=True)
class Trace:
    """The run, and the event that started it."""

    run_id: str | None = None
    event_id: str | None = None
    correlation_id: str | None = None

    def event(self, source: str, data: EventData, *identity: str) -> Event:
        """An event with the id that follows from its type and `identity`, caused by what started the run."""
        return new_event(
            data,
            source=source,
            id=event_id(data.type, *identity),
            causationid=self.event_id,
            correlationid=self.correlation_id or self.event_id,
        )
