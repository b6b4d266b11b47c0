"""Times that cannot be. Decisions compare times, so that one event from the far future would silence its alert until
then. Such an event is refused, which its dead letter names, rather than believed or given another time: a time of
ours would differ with each repeat."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache

from schemas.envelope import Event, EventData

_COMPARED = ("occurred_at", "start_time", "since")
AHEAD = timedelta(days=1)  # what a wrong clock or time zone may be ahead


class FutureTimeError(ValueError):
    """The event says that it happened later than now. The message names the field."""


def check_time(event: Event, data: EventData, now: datetime) -> None:
    """Raise FutureTimeError if the event happened more than a day from now."""
    latest = now + AHEAD
    if event.time > latest:
        raise _refusal("time", event.time, now)
    for name in _compared(type(data)):
        time = getattr(data, name)
        if time is not None and time > latest:
            raise _refusal(f"data.{name}", time, now)


@cache
def _compared(model: type[EventData]) -> tuple[str, ...]:
    return tuple(name for name in _COMPARED if name in model.model_fields)


def _refusal(field: str, time: datetime, now: datetime) -> FutureTimeError:
    return FutureTimeError(
        f"{field}: {time.isoformat()} is more than a day ahead of {now.isoformat(timespec='seconds')}; "
        "set the clock of its producer right, and replay it once that time has come"
    )
