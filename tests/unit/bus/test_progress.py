"""Readiness follows progress, not life."""

from __future__ import annotations

import pytest

from datalab.bus import progress
from datalab.bus.progress import Progress
from datalab.bus.publisher import RecordRef

REF = RecordRef("lab.files", 0, 7)


class MovableTime:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovableTime:
    clock = MovableTime()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def running(clock: MovableTime) -> Progress:
    tracked = Progress(stall_s=60)
    tracked.joined()
    tracked.polled()
    assert clock.now == 100.0
    return tracked


def test_a_member_is_not_ready_before_its_group_has_answered(clock: MovableTime) -> None:
    tracked = Progress(stall_s=60)
    tracked.polled()

    assert tracked.stalled() == "consumer: has not joined its group yet"
    tracked.joined()
    assert tracked.stalled() is None


def test_a_lost_broker_is_said_until_the_group_is_joined_again(clock: MovableTime) -> None:
    tracked = running(clock)
    tracked.disconnected("no broker")

    assert tracked.stalled() == "consumer: no broker"
    tracked.joined()
    assert tracked.stalled() is None


def test_an_idle_consumer_is_well_while_it_looks_for_records(clock: MovableTime) -> None:
    tracked = running(clock)
    clock.now += 59
    tracked.polled()
    clock.now += 59

    assert tracked.stalled() is None
    clock.now += 2
    assert tracked.stalled() == "no poll for 61 s"


def test_a_record_that_takes_too_long_is_named(clock: MovableTime) -> None:
    tracked = running(clock)
    with tracked.handling(REF):
        clock.now += 60
        assert tracked.stalled() is None
        clock.now += 1
        assert tracked.stalled() == "stuck on lab.files[0]@7 for 61 s"
    tracked.polled()
    assert tracked.stalled() is None


def test_a_broker_that_falls_silent_is_said_until_it_answers(clock: MovableTime) -> None:
    tracked = running(clock)
    tracked.polled(silent_s=9)
    assert tracked.stalled() is None
    tracked.polled(silent_s=12)
    assert tracked.stalled() == "the broker has not answered for 12 s"
    tracked.polled()
    assert tracked.stalled() is None
