"""Throttling and once per window: the run of an event is started at once, or never. Nothing has to be waited for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from services.bridge.durations import written
from services.bridge.windows.spec import Once, Throttle
from services.bridge.windows.state import Arrival, Fired, Open, Seen, State, Step, in_order

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REMEMBERED = 400  # windows; longer ago it is not known any more whether one had its run


def throttle(spec: Throttle, state: State, arrival: Arrival) -> Step:
    """A run, unless some stretch of this length would have too many; then none."""
    state = state.with_arrival(arrival)
    assert state.newest is not None, "an event has just come"
    known_since = state.newest - spec.within - spec.lateness
    if arrival.at < known_since:
        return Step(state, suppressed=((arrival.id, f"late: more than {written(spec.lateness)} behind others"),))
    pool = tuple(seen for seen in state.pool if seen.at >= known_since)
    with_it = in_order((*pool, Seen(arrival.id, arrival.at)))
    if _crowded(spec, with_it):
        reason = f"throttled: {spec.count} within {written(spec.within)} have their run"
        return Step(replace(state, pool=pool), suppressed=((arrival.id, reason),))
    return Step(replace(state, pool=with_it), (Fired((arrival.id,), arrival.at, arrival.at, alone=True),))


def _crowded(spec: Throttle, events: tuple[Seen, ...]) -> bool:
    pairs = zip(events, events[spec.count :], strict=False)
    return any(later.at - first.at < spec.within for first, later in pairs)


def once(spec: Once, state: State, arrival: Arrival) -> Step:
    """A run for the first event of its window to come; none for the others."""
    state = state.with_arrival(arrival)
    start = _EPOCH + (arrival.at - _EPOCH) // spec.per * spec.per
    had = next((window for window in state.open if window.start == start), None)
    if had is not None:
        return Step(state, suppressed=((arrival.id, f"once: {had.events[0].id} has the run of {_named(start)}"),))
    if len(state.open) >= _REMEMBERED and start < state.open[0].start:
        return Step(state, suppressed=((arrival.id, f"late: whether {_named(start)} had its run is not known now"),))
    window = Open(start, start + spec.per, (Seen(arrival.id, arrival.at),))
    windows = tuple(sorted((*state.open, window), key=lambda w: w.start))[-_REMEMBERED:]
    run = Fired((arrival.id,), start, start + spec.per, name=start.isoformat())
    return Step(replace(state, open=windows), (run,))


def _named(start: datetime) -> str:
    return f"the window of {start:%Y-%m-%d %H:%M:%S}Z"
