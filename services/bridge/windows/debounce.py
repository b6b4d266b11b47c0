"""Debouncing: a window lasts for as long as events keep coming. No event is left out: one that comes after its window
has a window of its own, for something has changed after all."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.bridge.windows.batch import fired
from services.bridge.windows.spec import Debounce
from services.bridge.windows.state import Arrival, Open, Seen, State, Step, in_order

_MOST = 1000


def take(spec: Debounce, state: State, arrival: Arrival) -> Step:
    """What an event does: it joins the windows that it is near to, which may make one of two."""
    state = state.with_arrival(arrival)
    near = [w for w in state.open if w.start - spec.after < arrival.at < w.end]
    events = in_order([Seen(arrival.id, arrival.at), *(seen for window in near for seen in window.events)])
    windows = [w for w in state.open if w not in near]
    end = events[-1].at + spec.after
    if spec.longest is not None:
        end = min(end, events[0].at + spec.longest)
    windows.append(Open(events[0].at, end, events))
    return pass_time(spec, replace(state, open=tuple(sorted(windows, key=lambda w: w.start))), arrival.arrived)


def pass_time(spec: Debounce, state: State, now: datetime) -> Step:
    """What the time does: close what has been quiet for long enough."""
    closed = [w for w in state.open if len(w.events) >= _MOST or state.is_over(w.end, spec.lateness, spec.after, now)]
    left = tuple(w for w in state.open if w not in closed)
    due = min((state.over_at(w.end, spec.lateness, spec.after) for w in left), default=None)
    return Step(replace(state, open=left), tuple(map(fired, closed)), (), due)
