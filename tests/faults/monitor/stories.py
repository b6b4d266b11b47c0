"""Stories: events as they are heard, and the alerts that must come of them, however often anything is heard or killed.

Times are those of the events and lie in the past, so that minutes and days take as long as handling their events.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from schemas.envelope import Event
from tests.support.monitor_events import degraded, quality_failed, quality_passed, recovered

FIRING, RESOLVED = "lab.alert.firing.v1", "lab.alert.resolved.v1"
# By seconds since the beginning, in the order in which they are heard: b is bad, g is good. Then the alerts: the place
# of the event that raises each, and of the one that ends it.
_TIMINGS: dict[str, tuple[str, list[tuple[int, int | None]]]] = {
    "in order": ("b0 g10", [(0, 1)]),
    "twice over": ("b0 b0 g10 g10", [(0, 2)]),
    "again": ("b0 g10 b20 g30", [(0, 1), (2, 3)]),
    "an hour late, and it was well since": ("g3600 b0", []),
    "an hour late, and nothing was heard since": ("b0 b3600 g7200", [(0, 2)]),
    "a late end": ("b0 b100 g50 g150", [(0, 3)]),
    "out of order": ("b20 g10 b0 g30", [(0, 3)]),
    "the wrong way round": ("g10 b0", []),
    "a clock that is an hour ahead": ("b10800 g9000 g14400", [(0, 2)]),
    "an end from the far future": ("g40000000 b0 g10", [(1, 2)]),
    "trouble from the far future": ("b40000000", []),
}


@dataclass
class Story:
    """What is heard, and by type and cause the alert events that must come of it."""

    heard: list[Event] = field(default_factory=list)
    alerts: set[tuple[str, str]] = field(default_factory=set)

    def __add__(self, other: Story) -> Story:
        return Story([*self.heard, *other.heard], self.alerts | other.alerts)

    def add(self, raised_by: Event, ended_by: Event | None) -> None:
        """An alert that must come."""
        self.alerts.add((FIRING, raised_by.id))
        if ended_by is not None:
            self.alerts.add((RESOLVED, ended_by.id))


def outages(count: int, tag: str = "") -> Story:
    """So many datasets, each bad and then good again."""
    return _of_timings(["in order"], count, tag)


def odd_times(each: int) -> Story:
    """Every odd order and time, for so many datasets each."""
    return _of_timings(list(_TIMINGS), each)


def flapping(minutes: float = 10) -> Story:
    """A service that is down for 2 s and up for 2 s for so long, by the times of its events: one alert."""
    story, service = Story(), _name("service")
    begun = datetime.now(UTC) - timedelta(minutes=minutes + 10)
    for second in range(0, int(minutes * 60), 4):
        down, up = begun + timedelta(seconds=second), begun + timedelta(seconds=second + 2)
        story.heard += [_at(degraded(service, since=down), down), _at(recovered(service), up)]
    story.add(story.heard[0], story.heard[-1])
    return story


def days(count: float, services: int, chance: random.Random) -> Story:
    """Outages of services over so many days, at random; a tenth of the events is heard again, some much later."""
    by_time: list[Event] = []
    story = Story()
    begun = datetime.now(UTC) - timedelta(days=count)
    for number in range(services):
        service, at = _name(f"service-{number}"), begun
        while True:
            # Longer than an end has to last, so that each outage is an alert of its own.
            at += timedelta(seconds=chance.uniform(10, 40_000))
            until = at + timedelta(seconds=chance.uniform(1, 20_000))
            if until > datetime.now(UTC) - timedelta(minutes=5):
                break
            down, up = _at(degraded(service, since=at), at), _at(recovered(service), until)
            by_time += [down, up]
            story.add(down, up)
            at = until
    by_time.sort(key=lambda event: event.time)
    story.heard = with_repeats(by_time, 0.1, chance)
    return story


def with_repeats(events: Sequence[Event], share: float, chance: random.Random) -> list[Event]:
    """The events with this share of them heard once more, at any later time."""
    places = [(float(number), event) for number, event in enumerate(events)]
    again = chance.sample(range(len(events)), round(len(events) * share))
    places += [(chance.uniform(number, len(events)), events[number]) for number in again]
    return [event for _, event in sorted(places, key=lambda place: place[0])]


def _of_timings(names: Sequence[str], each: int, tag: str = "") -> Story:
    story, begun = Story(), datetime.now(UTC) - timedelta(hours=2)
    for name in names:
        heard, alerts = _TIMINGS[name]
        for _ in range(each):
            dataset, events, told = _name(tag or "dataset"), list[Event](), dict[str, Event]()
            for word in heard.split():
                at = begun + timedelta(seconds=int(word[1:]))
                make = quality_failed if word[0] == "b" else quality_passed
                events.append(told.setdefault(word, make(dataset, time=at)))
            for raised, ended in alerts:
                story.add(events[raised], None if ended is None else events[ended])
            story.heard += events
    return story


def _at(event: Event, time: datetime) -> Event:
    return event.model_copy(update={"time": time})


def _name(tag: str) -> str:
    return f"{tag}-{uuid.uuid4().hex[:8]}"
