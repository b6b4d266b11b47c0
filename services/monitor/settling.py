"""Hysteresis: what is well again must stay well for a while before its alert ends, and longer where it flaps. Pure.

An event that shows the end of a trouble is held back. Trouble that returns sooner belongs to the same episode; later,
it is a new one, and the first has ended when the end was shown. Events are compared by the times at which they
happened, so that the outcome does not depend on when they arrived, or in which batches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from schemas.envelope import Event
from services.monitor.decide import Action, Condition, Decision

# Once trouble has returned so often, it must stay away for at least so long.
FLAPPING_AFTER, FLAPPING_S = 3, 60.0


@dataclass(frozen=True)
class Calm:
    """What an event does to a firing alert that has to settle. `ends` is the event that ends its episode, `held` the
    one that is held back; without a decision, the event's own effect is still to be decided."""

    after: Condition
    held: Event | None
    ends: Event | None = None
    decision: Decision | None = None


def is_flapping(reversals: int) -> bool:
    """Whether trouble returned so often within one episode that it is to be told."""
    return reversals >= FLAPPING_AFTER


def well_again(event: Event, known: Condition, held: Event | None, settle_s: float, now: datetime) -> Calm:
    """An event shows the end, for the first time or, once held back, again."""
    if known.last_bad_at is not None and event.time < known.last_bad_at:
        return Calm(known, held)  # late, as `decide` says
    since = held or event
    left = _needed(settle_s, known) - (now - since.time)
    if held is not None and left <= timedelta():
        after = _ended(known, held)
        return Calm(after, None, held, Decision(Action.RESOLVE, "it has been well for long enough", after))
    reason = (
        f"well since {since.time:%H:%M:%S}, and the alert ends after {_needed(settle_s, known).total_seconds():g} s"
    )
    return Calm(known, since, None, Decision(Action.KEEP, reason, known))


def bad_again(at: datetime, known: Condition, held: Event | None, settle_s: float) -> Calm:
    """An event of that time shows the trouble."""
    if held is None or at < held.time:
        return Calm(known, held)
    if at - held.time >= _needed(settle_s, known):
        return Calm(_ended(known, held), None, held)
    return Calm(replace(known, reversals=known.reversals + 1), None)


def _needed(settle_s: float, known: Condition) -> timedelta:
    return timedelta(seconds=max(settle_s, FLAPPING_S) if is_flapping(known.reversals) else settle_s)


def _ended(known: Condition, by: Event) -> Condition:
    good_at = max(known.last_good_at or by.time, by.time)
    return replace(known, open_episode=None, last_good_at=good_at, reversals=0)
