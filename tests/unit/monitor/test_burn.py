"""How fast an error budget is used, over a long and a short window."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schemas.metrics import BURN_FAST, BURN_SLOW
from services.monitor.burn import PAIRS, Counts, Ended, burn

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WINDOWS = (timedelta(minutes=5), timedelta(minutes=30), HOUR, 2 * HOUR, 6 * HOUR, DAY, 3 * DAY)


def ended(*counts: tuple[int, int]) -> Ended:
    """Ended and failed runs by window, the shortest first."""
    return Ended("etl", "etl/daily", {w: Counts(*c) for w, c in zip(WINDOWS, counts, strict=True)})


def fast(of: Ended, objective: float = 0.95) -> float:
    return burn(of, PAIRS[BURN_FAST], objective)[0]


def slow(of: Ended) -> float:
    return burn(of, PAIRS[BURN_SLOW], 0.95)[0]


def test_all_that_fail_now_and_for_an_hour_are_too_fast() -> None:
    broken = ended((2, 2), (10, 10), (20, 20), (30, 20), (90, 20), (300, 20), (900, 20))
    value, pair = burn(broken, PAIRS[BURN_FAST], 0.95)
    assert value == pytest.approx(20 / 14.4)
    assert pair is not None
    assert pair.long == HOUR
    assert burn(ended(*[(12, 12)] * 7), PAIRS[BURN_FAST], 0.95)[1] == pair, "the shortest windows are named"


def test_what_has_passed_is_over_with_the_short_window() -> None:
    assert fast(ended((2, 0), (10, 0), (20, 18), (30, 20), (90, 20), (300, 20), (900, 20))) == 0


def test_a_short_burst_alone_is_none_over_the_long_window() -> None:
    assert fast(ended((4, 4), (4, 4), (40, 4), (80, 4), (240, 4), (960, 4), (2880, 4))) < 1


def test_a_share_that_is_allowed_is_slow_enough_and_twice_as_much_is_not() -> None:
    allowed = ended((0, 0), (2, 0), (4, 0), (8, 0), (20, 1), (100, 5), (300, 15))
    assert slow(allowed) == pytest.approx(1)
    twice = ended((0, 0), (2, 0), (4, 0), (8, 0), (20, 2), (100, 10), (300, 30))
    assert slow(twice) == pytest.approx(2)


def test_few_runs_tell_no_rate() -> None:
    few = ended((1, 1), (3, 3), (9, 9), (9, 9), (9, 9), (9, 9), (9, 9))
    assert burn(few, PAIRS[BURN_FAST], 0.95) == (0, None)
    two_failures = ended((1, 1), (2, 2), (10, 2), (10, 2), (10, 2), (10, 2), (10, 2))
    assert slow(two_failures) == 0


def test_a_lax_objective_can_still_be_missed() -> None:
    broken = ended((2, 2), (10, 10), (20, 20), (30, 20), (90, 20), (300, 20), (900, 20))
    assert fast(broken, objective=0.5) > 1
    half = ended((2, 1), (10, 5), (20, 10), (30, 10), (90, 10), (300, 10), (900, 10))
    assert fast(half, objective=0.5) < 1
