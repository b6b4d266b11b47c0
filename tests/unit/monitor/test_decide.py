"""What an event does to an alert: every case is a decision with its reason, from plain values."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from services.monitor.decide import Action, Condition, Decision, Sign, decide, is_over, may_be_held

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def bad(event: str, minute: float, known: Condition, *, seen: bool = False) -> Decision:
    return decide(Sign.BAD, event, at(minute), known, episode=f"episode of {event}", seen=seen)


def good(minute: float, known: Condition) -> Decision:
    return decide(Sign.GOOD, f"good at {minute}", at(minute), known, episode="unused", seen=False)


OPEN = Condition(open_episode="e", last_bad_at=at(10), last_bad_event="b")
CLOSED = Condition(last_bad_at=at(10), last_bad_event="b", last_good_at=at(20))


def test_the_first_bad_event_fires() -> None:
    decision = bad("b", 10, Condition())
    assert decision.action is Action.FIRE
    assert decision.after == Condition("episode of b", at(10), "b", None)


@pytest.mark.parametrize(
    ("decision", "reason"),
    [
        (bad("b", 10, OPEN, seen=True), "a repeat of an event seen before"),
        (bad("another", 11, OPEN), "already firing"),
        (bad("another", 9, OPEN), "already firing"),
        (bad("another", 15, CLOSED), "late: it was well again afterwards"),
        (bad("b", 10, CLOSED, seen=True), "a repeat of an event seen before"),
        (bad("b", 10, CLOSED), "a repeat of an event seen before"),
        (good(9, OPEN), "late: it went wrong again afterwards"),
        (good(30, CLOSED), "nothing is firing"),
        (good(30, Condition()), "nothing is firing"),
    ],
)
def test_what_changes_no_alert_says_why(decision: Decision, reason: str) -> None:
    assert (decision.action, decision.reason) == (Action.KEEP, reason)


def test_a_good_event_resolves_what_went_wrong_before_it() -> None:
    decision = good(11, OPEN)
    assert decision.action is Action.RESOLVE
    assert decision.after.open_episode is None


def test_a_pass_older_than_the_newest_failure_does_not_resolve() -> None:
    still_open = bad("newer", 14, OPEN).after
    assert good(12, still_open).action is Action.KEEP
    assert good(15, still_open).action is Action.RESOLVE


def test_trouble_after_the_end_is_a_new_episode() -> None:
    assert bad("new", 21, CLOSED).action is Action.FIRE


def test_a_failure_that_arrives_after_a_newer_pass_does_not_fire() -> None:
    well = good(20, Condition()).after
    assert bad("late", 19, well).action is Action.KEEP


def test_of_two_events_with_one_time_the_later_arrival_wins() -> None:
    assert good(10, OPEN).action is Action.RESOLVE
    assert bad("new", 20, CLOSED).action is Action.FIRE


def test_any_replay_of_a_history_leaves_every_alert_as_it_was() -> None:
    history = [("b", 1), ("b", 2), ("g", 3), ("b", 4), ("g", 5), ("b", 6)]
    for length in range(1, len(history) + 1):
        known, opened = play(history[:length], Condition(), set())
        again, reopened = play(history[:length], known, set(opened))
        assert again.open_episode == known.open_episode
        assert reopened == opened


def test_the_order_of_arrival_does_not_change_whether_it_ends_open() -> None:
    events = [("b", 1), ("g", 2), ("b", 3)]
    for order in itertools.permutations(events):
        assert play(list(order), Condition(), set())[0].open_episode is not None, order
    events = [("b", 1), ("b", 2), ("g", 3)]
    for order in itertools.permutations(events):
        assert play(list(order), Condition(), set())[0].open_episode is None, order


@pytest.mark.parametrize(
    ("minute", "known", "held", "expected"),
    [
        (10, Condition(), None, True),
        (10, Condition(), 9, True),
        (10, Condition(), 10, False),
        (10, Condition(), 11, False),
        (30, OPEN, None, False),
        (19, CLOSED, None, False),
        (21, CLOSED, None, True),
    ],
)
def test_the_newest_event_that_is_neither_firing_nor_over_is_held(
    minute: float, known: Condition, held: float | None, expected: bool
) -> None:
    assert may_be_held(at(minute), known, None if held is None else at(held)) is expected


def test_a_held_event_is_over_when_it_is_well_again_or_firing() -> None:
    well = Condition(last_good_at=at(10))
    assert is_over(at(10), Sign.GOOD, at(10), well)
    assert not is_over(at(11), Sign.GOOD, at(10), well), "the end of something earlier"
    assert is_over(at(11), Sign.BAD, at(10), OPEN)
    assert not is_over(at(11), Sign.BAD, at(5), well), "a latecomer that fired nothing"


def play(events: list[tuple[str, int]], known: Condition, opened: set[str]) -> tuple[Condition, set[str]]:
    """The condition after the events, and every episode that was ever opened."""
    for kind, minute in events:
        name = f"{kind}{minute}"
        sign = Sign.BAD if kind == "b" else Sign.GOOD
        decision = decide(sign, name, at(minute), known, episode=name, seen=name in opened)
        if decision.action is Action.FIRE:
            opened = opened | {name}
        known = decision.after
    return known, opened
