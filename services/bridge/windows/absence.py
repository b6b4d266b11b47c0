"""Absence: an event (condition 0) that is not followed by another one (condition 1) in time. The other ones only
cancel: they have neither run nor reason of their own."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.bridge.windows.spec import Absence
from services.bridge.windows.state import MOMENT, Arrival, Fired, Open, Seen, State, Step

AWAITED, FOLLOWER = 0, 1
_MOST = 1000


def take(spec: Absence, state: State, arrival: Arrival) -> Step:
    """What an event does: what was awaited cancels; whatever else waits from its own time on."""
    state = state.with_arrival(arrival)
    suppressed: list[tuple[str, str]] = []
    if FOLLOWER in arrival.conditions:
        followed = [w for w in state.open if w.start < arrival.at <= w.end]
        suppressed += [(w.events[0].id, f"followed by {arrival.id}") for w in followed]
        pool = (*state.pool, Seen(arrival.id, arrival.at, FOLLOWER))[-_MOST:]
        state = replace(state, open=tuple(w for w in state.open if w not in followed), pool=pool)
    if AWAITED in arrival.conditions:
        end = arrival.at + spec.within
        follower = next((seen for seen in state.pool if arrival.at < seen.at <= end), None)
        if follower is not None:
            suppressed.append((arrival.id, f"followed by {follower.id}"))
        else:
            window = Open(arrival.at, end, (Seen(arrival.id, arrival.at, AWAITED),))
            state = replace(state, open=(*state.open, window))
    step = pass_time(spec, state, arrival.arrived)
    return replace(step, suppressed=(*suppressed, *step.suppressed))


def pass_time(spec: Absence, state: State, now: datetime) -> Step:
    """What the time does: what was awaited has not come."""
    # A follower at the very end counts, so an event at that time does not end the wait, a later one does.
    closed = [w for w in state.open if _is_over(spec, state, w, now)]
    left = tuple(w for w in state.open if w not in closed)
    horizon = state.newest - spec.within - spec.lateness if state.newest is not None else None
    pool = tuple(seen for seen in state.pool if horizon is None or seen.at >= horizon)
    due = min((_over_at(spec, state, w) for w in left), default=None)
    fired = tuple(Fired((w.events[0].id,), w.start, w.end, alone=True) for w in closed)
    return Step(replace(state, open=left, pool=pool), fired, (), due)


def _is_over(spec: Absence, state: State, window: Open, now: datetime) -> bool:
    if state.newest is not None and state.newest - spec.lateness > window.end:
        return True
    return now >= _over_at(spec, state, window)


def _over_at(spec: Absence, state: State, window: Open) -> datetime:
    return state.over_at(window.end, spec.lateness, spec.within) + MOMENT
