"""What a window rule remembers of one key, and what an arrival or the passing of time makes of it. Plain data.

Times of events and the wall clock are kept apart. A window is over once events of its key are `lateness` past its end,
or, where none comes, once the clock is and the last arrival is a little ago: what has waited in Kafka during an outage
comes at once, with times long past.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

# How long no event must have come before the clock alone ends a window; shorter windows have their own length.
_QUIET = timedelta(seconds=5)
# Where the end itself belongs to the window, it is over just after.
MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Arrival:
    """An event as windows see it: when it happened, when it came, and which conditions of the rule it meets."""

    id: str
    at: datetime
    arrived: datetime
    conditions: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Seen:
    """An event that is remembered."""

    id: str
    at: datetime
    condition: int = 0


@dataclass(frozen=True)
class Open:
    """A window that has not closed, or that must be known to have fired. Events in the order of their times."""

    start: datetime
    end: datetime
    events: tuple[Seen, ...]


@dataclass(frozen=True)
class State:
    """`newest` is the latest time of any event of the key, `arrived` when the last one came; `pool` are events outside
    of windows."""

    newest: datetime | None = None
    arrived: datetime | None = None
    open: tuple[Open, ...] = ()
    pool: tuple[Seen, ...] = ()

    def with_arrival(self, arrival: Arrival) -> State:
        """The state with its clocks moved on."""
        newest = arrival.at if self.newest is None else max(self.newest, arrival.at)
        return replace(self, newest=newest, arrived=arrival.arrived)

    def is_over(self, end: datetime, lateness: timedelta, length: timedelta, now: datetime) -> bool:
        """Whether no event before `end` is waited for any more, in a window of that length."""
        if self.newest is not None and self.newest - lateness >= end:
            return True
        return now >= self.over_at(end, lateness, length)

    def over_at(self, end: datetime, lateness: timedelta, length: timedelta) -> datetime:
        """When the clock will say so, unless another event comes before."""
        quiet = self.arrived + min(_QUIET, length) if self.arrived is not None else end
        return max(end + lateness, quiet)

    def to_json(self) -> dict[str, Any]:
        """As JSON; `from_json` reads it."""
        return {
            "newest": _text(self.newest),
            "arrived": _text(self.arrived),
            "open": [[_text(o.start), _text(o.end), _seen_json(o.events)] for o in self.open],
            "pool": _seen_json(self.pool),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> State:
        """The state that was stored."""
        return cls(
            _time(value["newest"]),
            _time(value["arrived"]),
            tuple(Open(_known(start), _known(end), _seen_from(events)) for start, end, events in value["open"]),
            _seen_from(value["pool"]),
        )


@dataclass(frozen=True)
class Fired:
    """A run is to be started for these events, in the order of their times. `alone`: it is for the last event by
    itself, as without windows; else the window is known by `name`, which no other of the rule and key has."""

    events: tuple[str, ...]
    start: datetime
    end: datetime
    name: str = ""
    alone: bool = False


@dataclass(frozen=True)
class Step:
    """What came of it: the new state, the runs to start, the events that will have none, with the reason, and when to
    look again at the latest."""

    state: State
    fired: tuple[Fired, ...] = ()
    suppressed: tuple[tuple[str, str], ...] = ()
    due: datetime | None = field(default=None, compare=False)


def in_order(events: Iterable[Seen]) -> tuple[Seen, ...]:
    """By time; those of one moment by id, so that no order of arrival shows."""
    return tuple(sorted(events, key=lambda seen: (seen.at, seen.id)))


def _seen_json(events: Iterable[Seen]) -> list[list[Any]]:
    return [[seen.id, _text(seen.at), seen.condition] for seen in events]


def _seen_from(value: list[list[Any]]) -> tuple[Seen, ...]:
    return tuple(Seen(id_, _known(at), condition) for id_, at, condition in value)


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None


def _known(text: str) -> datetime:
    return datetime.fromisoformat(text)
