"""Several conditions: `all` within a time, or one after the other (`sequence`). An event helps one run only; what does
not find its company in time has none, with that reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from services.bridge.durations import written
from services.bridge.windows.spec import Together
from services.bridge.windows.state import MOMENT, Arrival, Fired, Seen, State, Step, in_order

_MOST = 1000
# The events of one run out of those that wait, or none: pool in order, number of conditions, time.
Choice = Callable[[Together, Sequence[Seen]], Sequence[Seen] | None]


def take(choose: Choice, spec: Together, state: State, arrival: Arrival) -> Step:
    """What an event does: it may complete a run."""
    state = state.with_arrival(arrival)
    mine = (Seen(arrival.id, arrival.at, number) for number in arrival.conditions)
    pool = in_order((*state.pool, *mine))
    chosen = choose(spec, pool)
    if chosen is None:
        return pass_time(spec, replace(state, pool=pool), arrival.arrived)
    ids = tuple(dict.fromkeys(seen.id for seen in in_order(chosen)))
    left = tuple(seen for seen in pool if seen.id not in ids)
    fired = Fired(ids, min(s.at for s in chosen), max(s.at for s in chosen), name=min(ids))
    step = pass_time(spec, replace(state, pool=left), arrival.arrived)
    return replace(step, fired=(fired,))


def pass_time(spec: Together, state: State, now: datetime) -> Step:
    """What the time does: give up what has waited for too long."""
    over = [seen for seen in state.pool if _is_over(spec, state, seen, now)]
    over += state.pool[: max(0, len(state.pool) - _MOST)]
    gone = {seen.id for seen in over}
    left = tuple(seen for seen in state.pool if seen.id not in gone)
    reason = f"incomplete: not all of {len(spec.of)} conditions were met within {written(spec.within)}"
    due = min((_over_at(spec, state, seen) for seen in left), default=None)
    ids = dict.fromkeys(seen.id for seen in state.pool if seen.id in gone)
    return Step(replace(state, pool=left), (), tuple((id_, reason) for id_ in ids), due)


def all_of(spec: Together, pool: Sequence[Seen]) -> Sequence[Seen] | None:
    """The earliest stretch with every condition in it: of each its first event there."""
    for number, first in enumerate(pool):
        within = [seen for seen in pool[number:] if seen.at - first.at <= spec.within]
        firsts: dict[int, Seen] = {}
        for seen in within:
            firsts.setdefault(seen.condition, seen)
        if len(firsts) == len(spec.of):
            return list(firsts.values())
    return None


def sequence_of(spec: Together, pool: Sequence[Seen]) -> Sequence[Seen] | None:
    """For each possible first event the soonest second, third, and so on; the first such chain that is short enough."""
    for number, first in enumerate(pool):
        if first.condition != 0:
            continue
        chain = [first]
        for seen in pool[number + 1 :]:
            follows = seen.condition == len(chain) and seen.id not in {one.id for one in chain}
            if follows and seen.at - first.at <= spec.within:
                chain.append(seen)
            if len(chain) == len(spec.of):
                return chain
    return None


def _is_over(spec: Together, state: State, seen: Seen, now: datetime) -> bool:
    """Company at the very end of its time counts: only a later event, or the clock, ends the wait."""
    end = seen.at + spec.within
    if state.newest is not None and state.newest - spec.lateness > end:
        return True
    return now >= _over_at(spec, state, seen)


def _over_at(spec: Together, state: State, seen: Seen) -> datetime:
    return state.over_at(seen.at + spec.within, spec.lateness, spec.within) + MOMENT
