"""Whether a stream gets on: told from offsets alone, with the clock in the test's hand."""

from __future__ import annotations

import pytest

from services.monitor.progress import Progress

RUNS, FILES = ("lab.runs", 0), ("lab.files", 1)


class Watch:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def progress(watch: Watch) -> Progress:
    progress = Progress(30.0, watch)
    progress.assigned(1, {RUNS: 5, FILES: 0})
    progress.ends({RUNS: 5, FILES: 0})
    return progress


def stalled(progress: Progress) -> str | None:
    return progress.stalled(broker_answers=True)


def handle(progress: Progress, offset: int) -> None:
    assert progress.begin(RUNS, [offset], 1)
    progress.done(RUNS, offset)


def test_before_it_joined_it_is_not_ready(watch: Watch) -> None:
    progress = Progress(30.0, watch)
    assert progress.unready() == "has not joined its group yet"
    watch.time += 119
    progress.ends({})
    assert stalled(progress) is None, "the first time may take four times as long"
    watch.time += 2
    assert stalled(progress) == "has not joined its group for 121 s"


def test_a_member_without_partitions_is_ready(watch: Watch) -> None:
    progress = Progress(30.0, watch)
    progress.assigned(1, {})
    assert progress.unready() is None


def test_nothing_to_do_is_progress(progress: Progress, watch: Watch) -> None:
    for _ in range(100):
        watch.time += 5
        progress.ends({RUNS: 5, FILES: 0})
    assert (progress.unready(), stalled(progress)) == (None, None)


def test_an_offset_is_committable_only_once_handled(progress: Progress) -> None:
    assert progress.begin(RUNS, [5], 1)
    assert progress.committable()[RUNS] == 5
    progress.done(RUNS, 5)
    assert progress.committable() == {RUNS: 6, FILES: 0}


def test_records_that_wait_unhandled_are_a_stall(progress: Progress, watch: Watch) -> None:
    for _ in range(8):
        watch.time += 5
        progress.ends({RUNS: 7, FILES: 0})
    assert progress.unready() == "2 records wait and none was handled for 35 s"
    assert stalled(progress) == "2 records wait and none was handled for 35 s"


def test_a_long_idle_time_does_not_count_when_a_record_comes(progress: Progress, watch: Watch) -> None:
    watch.time += 3600
    progress.ends({RUNS: 6, FILES: 0})
    assert stalled(progress) is None


def test_slow_but_steady_is_no_stall(progress: Progress, watch: Watch) -> None:
    for offset in range(5, 15):
        watch.time += 25
        progress.ends({RUNS: 100, FILES: 0})
        handle(progress, offset)
    assert stalled(progress) is None


def test_a_record_that_is_tried_again_and_again_is_no_stall_but_not_ready(progress: Progress, watch: Watch) -> None:
    progress.begin(RUNS, [5], 1)
    for _ in range(20):
        watch.time += 5
        progress.ends({RUNS: 6, FILES: 0})
    assert stalled(progress) is None
    assert progress.unready() == "stuck on lab.runs[0]@5 for 100 s"


def test_a_record_that_never_came_ends_the_stream_and_is_not_passed_over(progress: Progress) -> None:
    handle(progress, 5)
    assert not progress.begin(RUNS, [8], 1)
    assert stalled(progress) == "lab.runs[0]: records 6 to 7 never came"
    assert progress.committable()[RUNS] == 6


def test_records_seen_again_do_not_move_the_offset_back(progress: Progress) -> None:
    handle(progress, 5)
    handle(progress, 6)
    handle(progress, 5)
    assert progress.committable()[RUNS] == 7
    assert stalled(progress) is None


def test_a_batch_may_begin_while_the_one_before_is_stored(progress: Progress, watch: Watch) -> None:
    assert progress.begin(RUNS, [5, 6], 1)
    assert progress.begin(RUNS, [7, 8], 1)
    assert progress.committable()[RUNS] == 5
    progress.done(RUNS, 6)
    assert progress.committable()[RUNS] == 7
    watch.time += 100
    progress.ends({RUNS: 9, FILES: 0})
    assert stalled(progress) is None, "the second is still being stored"
    assert progress.unready() == "stuck on lab.runs[0]@7 for 100 s"
    assert not progress.begin(RUNS, [10], 1)
    assert stalled(progress) == "lab.runs[0]: records 9 to 9 never came"


def test_what_is_stored_of_a_partition_that_another_member_has_by_then_is_not_committed(progress: Progress) -> None:
    assert progress.begin(RUNS, [5], 1)
    progress.assigned(2, {FILES: 0})
    progress.done(RUNS, 5)
    assert progress.committable() == {FILES: 0}


def test_a_new_assignment_forgets_where_partitions_stood(progress: Progress) -> None:
    handle(progress, 5)
    progress.assigned(2, {RUNS: 20})
    assert progress.committable() == {RUNS: 20}
    assert progress.begin(RUNS, [20], 2)


def test_records_that_come_before_the_positions_are_known_count(progress: Progress) -> None:
    assert progress.begin(RUNS, [20], 2)
    progress.done(RUNS, 20)
    progress.assigned(2, {RUNS: 20, FILES: 3})
    assert progress.committable() == {RUNS: 21, FILES: 3}


def test_a_consumer_that_is_silent_while_the_broker_answers_is_a_stall(progress: Progress, watch: Watch) -> None:
    watch.time += 31
    assert stalled(progress) == "the stream's consumer does not answer since 31 s, though Kafka does"


def test_a_broker_that_is_away_is_waited_for(progress: Progress, watch: Watch) -> None:
    for _ in range(20):
        watch.time += 31
        assert progress.stalled(broker_answers=False) is None
    watch.time += 15
    assert progress.unready() == "no answer from Kafka for 15 s"


def test_a_topic_is_caught_up_once_all_that_kafka_held_of_it_is_handled(progress: Progress) -> None:
    assert progress.caught_up("lab.runs")
    progress.ends({RUNS: 6, FILES: 9})
    assert not progress.caught_up("lab.runs")
    assert not progress.caught_up("lab.files")
    handle(progress, 5)
    assert progress.caught_up("lab.runs")
    assert progress.caught_up("lab.of-another-member")


def test_before_kafka_told_what_it_holds_nothing_is_caught_up(watch: Watch) -> None:
    progress = Progress(30.0, watch)
    assert not progress.caught_up("lab.runs")
    progress.assigned(1, {RUNS: 5})
    assert not progress.caught_up("lab.runs")


def test_a_batch_with_a_record_missing_is_not_begun(progress: Progress) -> None:
    assert progress.begin(RUNS, [5, 6, 7], 1)
    progress.done(RUNS, 7)
    assert progress.committable()[RUNS] == 8
    assert not progress.begin(RUNS, [8, 10], 1)
    assert progress.unready() == "lab.runs[0]: records 9 to 9 never came"


def test_a_batch_that_came_before_in_part_is_begun_again(progress: Progress) -> None:
    assert progress.begin(RUNS, [5, 6], 1)
    progress.done(RUNS, 6)
    assert progress.begin(RUNS, [5, 6, 7], 1)
    progress.done(RUNS, 7)
    assert progress.committable()[RUNS] == 8
