"""When handling is tried again, when it is given up, and how long is waited."""

from __future__ import annotations

import pytest

from datalab.bus.retry import PermanentError, RetryPolicy


@pytest.mark.parametrize("error", [ConnectionError("away"), TimeoutError(), OSError(5, "I/O")])
def test_an_outage_is_waited_out_however_long(error: Exception) -> None:
    assert not RetryPolicy(attempts=2).gives_up(error, 10_000)


def test_a_fault_is_tried_a_few_times() -> None:
    policy = RetryPolicy(attempts=3)

    assert [policy.gives_up(ValueError(), attempt) for attempt in (1, 2, 3)] == [False, False, True]


def test_what_can_never_succeed_is_given_up_at_once() -> None:
    assert RetryPolicy().gives_up(PermanentError("no such deployment"), 1)


def test_what_counts_as_an_outage_can_be_said() -> None:
    policy = RetryPolicy(attempts=1, is_transient=lambda error: isinstance(error, KeyError))

    assert not policy.gives_up(KeyError(), 5)
    assert policy.gives_up(ConnectionError(), 1)


def test_waits_grow_up_to_the_longest() -> None:
    policy = RetryPolicy(first_s=0.2, longest_s=10.0)
    bounds = {1: 0.2, 2: 0.4, 3: 0.8, 6: 6.4, 7: 10.0, 1_000_000: 10.0}

    for attempt, full in bounds.items():
        for _ in range(20):
            assert 0.7 * full <= policy.delay_s(attempt) <= full
