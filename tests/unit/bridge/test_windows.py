"""Windows: whatever comes late, out of order, twice or at one moment, each event ends in one place, and no promise of
its kind is broken."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.bridge.windows.kinds import dissolve, pass_time, take
from services.bridge.windows.spec import When
from services.bridge.windows.state import Arrival, Fired, State

START = datetime(2026, 1, 1, tzinfo=UTC)
KINDS: dict[str, dict[str, Any]] = {
    "batch": {"count": 4, "within": "60s"},
    "debounce": {"after": "20s", "longest": "90s"},
    "throttle": {"count": 2, "within": "60s"},
    "once": {"per": "1m"},
    "all": {"of": [{}, {}, {}], "within": "60s"},
    "sequence": {"of": [{}, {}, {}], "within": "60s"},
    "absence": {"of": {}, "within": "30s"},
}
# Seconds of the event, seconds that it comes late, and the condition that it meets.
coming = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 90), st.integers(0, 2)), max_size=40)


def when(kind: str, **more: Any) -> When:
    return When.model_validate({kind: KINDS[kind] | more})


class Told:
    """What became of each event; `closed` has the ids of each run."""

    def __init__(self) -> None:
        self.fired: list[Fired] = []
        self.reasons: dict[str, str] = {}
        self.state = State()


def run(rule: When, arrivals: list[Arrival], *, to_the_end: bool = True) -> Told:
    """The arrivals in their order, and then time until nothing is due."""
    told = Told()
    steps = []
    for arrival in arrivals:
        step = take(rule, told.state, arrival)
        # What is stored and read again is the same.
        told.state = State.from_json(json.loads(json.dumps(step.state.to_json())))
        assert told.state == step.state
        steps.append(step)
    if to_the_end:
        steps.append(pass_time(rule, told.state, START + timedelta(days=400)))
        told.state = steps[-1].state
    for step in steps:
        told.fired += step.fired
        for id_, reason in step.suppressed:
            assert id_ not in told.reasons, "an event has one reason"
            told.reasons[id_] = reason
    return told


def arrivals_of(given_: list[tuple[int, int, int]], *, two: bool = False) -> list[Arrival]:
    """In the order of their coming; `two`: conditions 0 and 1 only."""
    made = [
        Arrival(
            f"e{number}",
            START + timedelta(seconds=at),
            START + timedelta(seconds=at + late),
            (condition % 2 if two else condition,),
        )
        for number, (at, late, condition) in enumerate(given_)
    ]
    return sorted(made, key=lambda arrival: arrival.arrived)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lateness", ["0s", "2m"])
@settings(deadline=None, max_examples=200)
@given(coming)
def test_every_event_ends_in_one_place(kind: str, lateness: str, events: list[tuple[int, int, int]]) -> None:
    rule = when(kind) if kind == "once" else when(kind, lateness=lateness)
    arrivals = arrivals_of(events, two=kind == "absence")
    told = run(rule, arrivals)
    ends = Counter(id_ for fired in told.fired for id_ in fired.events) + Counter(told.reasons.keys())
    awaited = [a.id for a in arrivals if kind != "absence" or a.conditions == (0,)]
    assert ends == Counter(awaited)
    names = [fired.name for fired in told.fired if not fired.alone]
    assert len(names) == len(set(names)), "each window has a name of its own"


@settings(deadline=None, max_examples=200)
@given(coming, st.integers(2, 5))
def test_a_batch_is_never_larger_or_longer_than_it_says_and_leaves_nothing_out(
    events: list[tuple[int, int, int]], count: int
) -> None:
    arrivals = arrivals_of([(at, 0, 0) for at, _, _ in events])
    told = run(when("batch", count=count), arrivals)
    assert not told.reasons
    at = {arrival.id: arrival.at for arrival in arrivals}
    for fired in told.fired:
        times = [at[id_] for id_ in fired.events]
        assert len(times) <= count
        assert times == sorted(times)
        assert max(times) - min(times) < timedelta(seconds=60)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 400), max_size=30), st.randoms())
def test_debounced_windows_do_not_depend_on_the_order_of_coming(times: list[int], random: Any) -> None:
    rule = When.model_validate({"debounce": {"after": "20s", "lateness": "1h"}})
    arrivals = [Arrival(f"e{n}", START + timedelta(seconds=at), START) for n, at in enumerate(times)]
    expected = {fired.events for fired in run(rule, sorted(arrivals, key=lambda a: a.at)).fired}
    random.shuffle(arrivals)
    assert {fired.events for fired in run(rule, arrivals).fired} == expected
    for events in expected:
        at = sorted(START + timedelta(seconds=times[int(id_[1:])]) for id_ in events)
        assert all(later - earlier < timedelta(seconds=20) for earlier, later in pairwise(at))


@settings(deadline=None, max_examples=200)
@given(coming)
def test_no_stretch_has_more_runs_than_the_throttle_allows(events: list[tuple[int, int, int]]) -> None:
    told = run(when("throttle"), arrivals_of(events))
    times = sorted(fired.start for fired in told.fired)
    assert all(third - first >= timedelta(seconds=60) for first, third in zip(times, times[2:], strict=False))


@settings(deadline=None, max_examples=200)
@given(coming)
def test_each_window_has_its_run_once(events: list[tuple[int, int, int]]) -> None:
    arrivals = arrivals_of(events)
    told = run(when("once"), arrivals)
    assert sorted(fired.start for fired in told.fired) == sorted({a.at.replace(second=0) for a in arrivals})


@settings(deadline=None, max_examples=200)
@given(coming)
def test_all_conditions_are_met_within_the_time(events: list[tuple[int, int, int]]) -> None:
    arrivals = {arrival.id: arrival for arrival in arrivals_of(events)}
    for kind in ("all", "sequence"):
        for fired in run(when(kind), list(arrivals.values())).fired:
            met = [arrivals[id_] for id_ in fired.events]
            assert {arrival.conditions[0] for arrival in met} == {0, 1, 2}
            assert max(a.at for a in met) - min(a.at for a in met) <= timedelta(seconds=60)
            if kind == "sequence":
                times = {arrival.conditions[0]: arrival.at for arrival in met}
                assert times[0] <= times[1] <= times[2]


@settings(deadline=None, max_examples=200)
@given(coming)
def test_an_absence_fires_for_just_those_that_nothing_follows(events: list[tuple[int, int, int]]) -> None:
    arrivals = arrivals_of(events, two=True)
    told = run(when("absence", lateness="2m"), arrivals)
    followers = [a.at for a in arrivals if a.conditions == (1,)]
    alone = {
        a.id
        for a in arrivals
        if a.conditions == (0,) and not any(a.at < at <= a.at + timedelta(seconds=30) for at in followers)
    }
    assert {fired.events[0] for fired in told.fired} == alone


def second(number: int, id_: str = "", condition: int = 0, late: int = 0) -> Arrival:
    at = START + timedelta(seconds=number)
    return Arrival(id_ or f"at{number}", at, at + timedelta(seconds=late), (condition,))


def test_a_window_closes_by_the_clock_when_nothing_comes_any_more() -> None:
    rule = when("debounce")
    step = take(rule, State(), second(0))
    assert step.due == START + timedelta(seconds=20)
    assert not pass_time(rule, step.state, START + timedelta(seconds=19)).fired
    (fired,) = pass_time(rule, step.state, START + timedelta(seconds=20)).fired
    assert fired.events == ("at0",)


def test_what_comes_at_once_after_an_outage_is_not_torn_apart_by_the_clock() -> None:
    """An hour late, a few milliseconds apart: the clock is past the end of each window already."""
    rule, state = when("batch", count=100), State()
    for number in range(10):
        at = START + timedelta(seconds=5 * number)
        step = take(rule, state, Arrival(f"e{number}", at, START + timedelta(hours=1, milliseconds=number)))
        assert not step.fired
        state = step.state
    (fired,) = pass_time(rule, state, START + timedelta(hours=1, seconds=6)).fired
    assert len(fired.events) == 10


def test_an_event_of_another_time_closes_what_is_over_before_it() -> None:
    told = run(when("batch"), [second(0), second(10), second(61)], to_the_end=False)
    assert [fired.events for fired in told.fired] == [("at0", "at10")]


def test_a_changed_rule_dissolves_what_it_had_collected() -> None:
    for kind, waiting in (("batch", "fired"), ("debounce", "fired"), ("all", "suppressed"), ("absence", "suppressed")):
        step = dissolve(kind, take(when(kind), State(), second(0)).state)
        assert [bool(step.fired), bool(step.suppressed)] == [waiting == "fired", waiting == "suppressed"]
        assert step.state == State()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"batch": {}}, "give count, within, or both"),
        ({"batch": {"count": 1}}, "greater than or equal to 2"),
        ({"batch": {"count": 2}, "once": {"per": "1d"}}, "give one of batch"),
        ({"all": {"of": [{}], "within": "1m"}}, "at least 2"),
        ({"debounce": {}}, "Field required"),
        ({"debounce": {"after": "0s"}}, "must be more than nothing"),
        ({"each": {}}, "Extra inputs"),
        ({"sequence": {"of": [{}, {"where": "evnt.x"}], "within": "1m"}}, "unknown variable evnt"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        When.model_validate(words)
