"""What an event does to an alert, as data with a reason. Pure: no clock, no database.

Events are compared by the time they happened, not by their arrival, so that repeats and latecomers neither reopen
nor close an episode. Of two events with the same time the one that arrives later wins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class Sign(StrEnum):
    """What an event says about the trouble."""

    BAD = "bad"
    GOOD = "good"


class Action(StrEnum):
    """What to do about it."""

    FIRE = "fire"
    RESOLVE = "resolve"
    KEEP = "keep"


@dataclass(frozen=True)
class Condition:
    """What is known about one fingerprint: the newest bad and good event, and the open episode."""

    open_episode: str | None = None
    last_bad_at: datetime | None = None
    last_bad_event: str | None = None
    last_good_at: datetime | None = None
    # How often trouble returned within the open episode, though it seemed to be over.
    reversals: int = 0


@dataclass(frozen=True)
class Decision:
    """The action with its reason, and what is known afterwards."""

    action: Action
    reason: str
    after: Condition


def decide(sign: Sign, event: str, at: datetime, known: Condition, *, episode: str, seen: bool) -> Decision:
    """What the event with id `event`, which happened `at`, does. `episode` is the id of the episode it would open;
    `seen` tells that it opened that episode before."""
    if sign is Sign.GOOD:
        return _good(at, known)
    return _bad(event, at, known, episode=episode, seen=seen)


def _bad(event: str, at: datetime, known: Condition, *, episode: str, seen: bool) -> Decision:
    after = known
    if known.last_bad_at is None or at >= known.last_bad_at:
        after = replace(known, last_bad_at=at, last_bad_event=event)
    if seen or event == known.last_bad_event:
        return Decision(Action.KEEP, "a repeat of an event seen before", after)
    if known.open_episode is not None:
        return Decision(Action.KEEP, "already firing", after)
    if known.last_good_at is not None and at < known.last_good_at:
        return Decision(Action.KEEP, "late: it was well again afterwards", after)
    return Decision(Action.FIRE, "trouble where there was none", replace(after, open_episode=episode))


def _good(at: datetime, known: Condition) -> Decision:
    after = known
    if known.last_good_at is None or at >= known.last_good_at:
        after = replace(known, last_good_at=at)
    if known.open_episode is None:
        return Decision(Action.KEEP, "nothing is firing", after)
    if known.last_bad_at is not None and at < known.last_bad_at:
        return Decision(Action.KEEP, "late: it went wrong again afterwards", after)
    return Decision(Action.RESOLVE, "it is well again", replace(after, open_episode=None, reversals=0))


def may_be_held(at: datetime, known: Condition, held_at: datetime | None) -> bool:
    """Whether an event of `at` that is not bad enough yet is to be judged again later, in place of the one held so
    far. A held event keeps its place in time: what is firing needs none, and what was well afterwards is over."""
    if known.open_episode is not None or (known.last_good_at is not None and at < known.last_good_at):
        return False
    return held_at is None or at > held_at


def is_over(held_at: datetime, sign: Sign, at: datetime, after: Condition) -> bool:
    """Whether an event that is held back needs no further look, now that another was judged."""
    return after.open_episode is not None or (sign is Sign.GOOD and at >= held_at)
