"""Back-off: doubles, is bounded, and starts over after a stable time."""

from __future__ import annotations

from datalab.local.backoff import Backoff


def test_delays_double_up_to_the_limit() -> None:
    backoff = Backoff(first=0.5, limit=4.0)

    assert [backoff.after_death(lived=1.0) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_a_stable_time_resets_it() -> None:
    backoff = Backoff(first=0.5, stable_after=60)
    for _ in range(5):
        backoff.after_death(lived=1.0)

    assert backoff.after_death(lived=61.0) == 0.5
    assert backoff.failures == 1


def test_it_stays_bounded_for_ever() -> None:
    backoff = Backoff(limit=30.0, failures=100_000)

    assert backoff.after_death(lived=0.0) == 30.0
