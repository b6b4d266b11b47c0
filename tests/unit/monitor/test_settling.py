"""An alert ends once all has been well for long enough: told from times alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemas.envelope import Event
from services.monitor.decide import Action, Condition
from services.monitor.settling import FLAPPING_AFTER, bad_again, is_flapping, well_again
from tests.support.monitor_events import recovered

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FIRING = Condition("episode", NOW, "bad")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def good(seconds: float) -> Event:
    return recovered("mlflow").model_copy(update={"time": after(seconds)})


def test_an_end_is_held_until_it_has_lasted() -> None:
    end = good(1)
    held = well_again(end, FIRING, None, 5, after(1))
    assert (held.held, held.ends, held.decision and held.decision.action) == (end, None, Action.KEEP)
    still = well_again(end, held.after, end, 5, after(5.9))
    assert (still.held, still.ends) == (end, None)
    over = well_again(end, still.after, end, 5, after(6))
    assert (over.ends, over.held, over.after.open_episode) == (end, None, None)
    assert over.after.last_good_at == after(1)


def test_it_counts_from_the_first_of_several_good_events() -> None:
    first = good(1)
    assert well_again(good(4), FIRING, first, 5, after(4)).held == first
    assert well_again(good(7), FIRING, first, 5, after(7)).ends == first


def test_trouble_that_returns_sooner_belongs_to_the_same_episode() -> None:
    back = bad_again(after(3), FIRING, good(1), 5)
    assert (back.after.open_episode, back.held, back.ends, back.after.reversals) == ("episode", None, None, 1)


def test_trouble_that_returns_later_is_a_new_one_though_the_first_was_not_ended_yet() -> None:
    end = good(1)
    back = bad_again(after(6), FIRING, end, 5)
    assert (back.after.open_episode, back.ends, back.decision) == (None, end, None)


def test_what_flaps_must_be_well_for_longer() -> None:
    known = FIRING
    for number in range(FLAPPING_AFTER):
        assert not is_flapping(known.reversals)
        known = bad_again(after(4 * number + 4), known, good(4 * number + 2), 5).after
    assert is_flapping(known.reversals)
    end = good(20)
    assert well_again(end, known, end, 5, after(79)).ends is None
    assert well_again(end, known, end, 5, after(80)).ends == end


def test_a_late_end_and_late_trouble_change_nothing_that_is_held() -> None:
    end = good(10)
    assert well_again(good(-1), FIRING, end, 5, after(11)).held == end
    late = bad_again(after(2), FIRING, end, 5)
    assert (late.held, late.after.reversals) == (end, 0)
