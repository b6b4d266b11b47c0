"""Batches: windows that an event opens and that `count` events, or the time, close. No event is left out: one that
comes after its window joins the oldest that is open, or opens one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from services.bridge.windows.spec import Batch
from services.bridge.windows.state import Arrival, Fired, Open, Seen, State, Step, in_order

_MOST = 1000
_FOR_EVER = timedelta(days=36_500)


def take(spec: Batch, state: State, arrival: Arrival) -> Step:
    """What an event does."""
    state = state.with_arrival(arrival)
    windows = list(state.open)
    seen = Seen(arrival.id, arrival.at, 0)
    number = _place(spec, windows, arrival.at)
    if number is None:
        length = spec.within or _FOR_EVER
        # One that comes late waits as long as any other: it would else close at once, by itself.
        counted_from = max(arrival.at, (state.newest or arrival.at) - spec.lateness)
        windows.append(Open(arrival.at, counted_from + length, (seen,)))
    else:
        window = windows[number]
        start = min(window.start, arrival.at)
        windows[number] = replace(window, start=start, events=in_order((*window.events, seen)))
    return pass_time(spec, replace(state, open=tuple(windows)), arrival.arrived)


def pass_time(spec: Batch, state: State, now: datetime) -> Step:
    """What the time does: close what is full or over."""
    full, length = spec.count or _MOST, spec.within or _FOR_EVER
    closed = [w for w in state.open if len(w.events) >= full or state.is_over(w.end, spec.lateness, length, now)]
    left = tuple(w for w in state.open if w not in closed)
    dues = [state.over_at(w.end, spec.lateness, length) for w in left if spec.within is not None]
    return Step(replace(state, open=left), tuple(map(fired, closed)), (), min(dues, default=None))


def fired(window: Open) -> Fired:
    """The run of a window. No event is in two windows of a rule, so that one of them names it."""
    ids = tuple(seen.id for seen in window.events)
    return Fired(ids, window.events[0].at, window.events[-1].at, name=min(ids))


def _place(spec: Batch, windows: list[Open], at: datetime) -> int | None:
    for number, window in enumerate(windows):
        if window.start - spec.lateness <= at < window.end:
            return number
    earlier = [number for number, window in enumerate(windows) if at < window.start]
    return earlier[0] if earlier else None
