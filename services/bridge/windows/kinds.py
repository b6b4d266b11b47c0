"""Which decisions belong to which kind of window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from services.bridge.windows import absence, batch, debounce, throttle, together
from services.bridge.windows.spec import When
from services.bridge.windows.state import Arrival, State, Step

# Whose memory is empty once nothing is open: its row need not be kept. Others must know what has fired.
FORGETFUL = frozenset({"each", "batch", "debounce", "all", "sequence", "absence"})


def _nothing(_: object, state: State, __: datetime) -> Step:
    return Step(state)


# By the kind's name: what an event does, and what the time does. The first argument is the kind's own words.
_DECISIONS: Mapping[str, tuple[Callable[[Any, State, Arrival], Step], Callable[[Any, State, datetime], Step]]] = {
    "batch": (batch.take, batch.pass_time),
    "debounce": (debounce.take, debounce.pass_time),
    "throttle": (throttle.throttle, _nothing),
    "once": (throttle.once, _nothing),
    "all": (partial(together.take, together.all_of), together.pass_time),
    "sequence": (partial(together.take, together.sequence_of), together.pass_time),
    "absence": (absence.take, absence.pass_time),
}


def take(when: When, state: State, arrival: Arrival) -> Step:
    """What an event does to the windows of its key."""
    return _DECISIONS[when.kind][0](getattr(when, when.kind), state, arrival)


def pass_time(when: When, state: State, now: datetime) -> Step:
    """What the clock does to the windows of a key."""
    if when.kind == "each":
        return Step(state)
    return _DECISIONS[when.kind][1](getattr(when, when.kind), state, now)


def dissolve(kind: str, state: State) -> Step:
    """The rule has other windows now: what was collected for one run has it, what waited for company or absence has
    none, with that reason."""
    if kind in ("batch", "debounce"):
        return Step(State(), tuple(map(batch.fired, state.open)))
    waiting = [*state.pool, *(seen for window in state.open for seen in window.events)]
    if kind in ("all", "sequence", "absence"):
        reason = "the rule was changed while it waited"
        ids = dict.fromkeys(seen.id for seen in waiting if kind != "absence" or seen.condition == absence.AWAITED)
        return Step(State(), (), tuple((id_, reason) for id_ in ids))
    return Step(State())
