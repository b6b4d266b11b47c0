"""One step of one trouble: what an event, as one rule sees it, does to what is known and to what is told. Pure.

`decide` compares the event with what is known, `settling` holds back ends. `episodes` stores and announces the steps;
`rule_tests` runs them without anything stored.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from schemas.envelope import Event
from services.monitor.criteria import Verdict
from services.monitor.decide import Action, Condition, Decision, Sign, decide, is_over, may_be_held
from services.monitor.identity import episode_id, fingerprint, labels_of
from services.monitor.rules import AlertRule
from services.monitor.settling import Calm, bad_again, is_flapping, well_again

_NOTHING = Condition()
_FINE = Decision(Action.KEEP, "nothing is firing", _NOTHING)


class Trouble(NamedTuple):
    """What is known, and the event that is held back."""

    condition: Condition = _NOTHING
    held: Event | None = None


class Bearing(NamedTuple):
    """An event as one rule sees it: what it is worth, from when that counts, and how long an end must last."""

    rule: AlertRule
    event: Event
    verdict: Verdict
    at: datetime
    settle_s: float = 0.0


class Case(NamedTuple):
    """A bearing with the trouble that it is about, and the episode that it would open."""

    bearing: Bearing
    labels: dict[str, str]
    fingerprint: str
    episode: str


class Outcome(NamedTuple):
    """What an event did to the alert of one rule."""

    rule: str
    fingerprint: str
    episode: str | None
    decision: Decision


class Step(NamedTuple):
    """The outcome with all that is to be told of it, in this order: an episode that ended and by which event, one that
    flaps, and whether the case's own episode begins."""

    outcome: Outcome
    trouble: Trouble
    ended: tuple[str, Event] | None = None
    flapping: tuple[str, int] | None = None
    begins: bool = False


def case_of(bearing: Bearing) -> Case:
    """The trouble that the event is about."""
    labels = labels_of(bearing.rule, bearing.event)
    print_ = fingerprint(bearing.rule.name, labels)
    # An id costs as much as all the rest, and nothing that ends a trouble has an episode.
    episode = "" if bearing.verdict.sign is Sign.GOOD else episode_id(print_, bearing.event.id)
    return Case(bearing, labels, print_, episode)


def advance(case: Case, trouble: Trouble, *, seen: bool, now: datetime | None = None) -> Step:
    """The next step of the trouble; `seen` tells that the case's episode has been before. `now` is given where an event
    that is held back is looked at again. An event that was just heard counts at its own time: what happened since may
    still wait to be heard."""
    known, held = trouble
    rule, _, verdict, _, settle_s = case.bearing
    if verdict.sign is Sign.GOOD and trouble == Trouble() and not rule.remembers_ends:
        return Step(Outcome(rule.name, case.fingerprint, None, _FINE), trouble)
    if known.open_episode is None or not settle_s:
        return _decided(case, trouble, seen=seen)
    calm = _calm(case, known, held, now or case.bearing.event.time)
    if calm is None:
        return _decided(case, trouble, seen=seen)
    after = Trouble(calm.after, calm.held)
    if calm.decision is None:
        step = _decided(case, after, seen=seen)
    else:
        step = Step(Outcome(rule.name, case.fingerprint, known.open_episode, calm.decision), after)
    if calm.ends is not None:
        return step._replace(ended=(known.open_episode, calm.ends))
    if is_flapping(calm.after.reversals) and calm.after.reversals != known.reversals:
        return step._replace(flapping=(known.open_episode, calm.after.reversals))
    return step


def _calm(case: Case, known: Condition, held: Event | None, now: datetime) -> Calm | None:
    """What the event does to a firing alert that has to settle; None for nothing."""
    _, event, verdict, at, settle_s = case.bearing
    if verdict.sign is Sign.GOOD:
        return well_again(event, known, held, settle_s, now)
    # Trouble that would have to last before it fires is trouble enough to go on with what fires.
    return bad_again(at, known, held, settle_s) if verdict.sign is Sign.BAD or verdict.held else None


def _decided(case: Case, trouble: Trouble, *, seen: bool) -> Step:
    known, held = trouble
    rule, event, verdict, at, _ = case.bearing
    if verdict.sign is None:
        is_held = verdict.held and may_be_held(at, known, held.time if held else None)
        kept = Decision(Action.KEEP, verdict.reason, known)
        outcome = Outcome(rule.name, case.fingerprint, known.open_episode, kept)
        return Step(outcome, Trouble(known, event) if is_held else trouble)
    decision = decide(verdict.sign, event.id, at, known, episode=case.episode, seen=seen)
    over = held is not None and (
        held.id == event.id or (known.open_episode is None and is_over(held.time, verdict.sign, at, decision.after))
    )
    waits = None if over else held
    if verdict.held and (held is None or held.time <= event.time):
        waits = event  # good for now, and to be judged again
    after = Trouble(decision.after, waits)
    fires = decision.action is Action.FIRE
    outcome = Outcome(rule.name, case.fingerprint, case.episode if fires else known.open_episode, decision)
    ended = (known.open_episode, event) if decision.action is Action.RESOLVE and known.open_episode else None
    return Step(outcome, after, ended, begins=fires)
