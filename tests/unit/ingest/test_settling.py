"""When a file counts as complete, with observations and a clock that the test moves."""

from __future__ import annotations

from services.ingest.settling import Settling, Stamp

SMALL, LARGE = Stamp(10, 1), Stamp(20, 2)


def test_a_file_is_complete_once_it_stayed_the_same_for_the_set_time() -> None:
    settling = Settling(1.0)

    assert settling.observe({"a": SMALL}, 0.0) == []
    assert settling.observe({"a": SMALL}, 0.9) == []
    assert settling.observe({"a": SMALL}, 1.0) == ["a"]


def test_each_change_of_size_or_time_starts_the_wait_anew() -> None:
    settling = Settling(1.0)
    settling.observe({"a": SMALL}, 0.0)

    assert settling.observe({"a": Stamp(11, 1)}, 0.9) == []
    assert settling.observe({"a": Stamp(11, 2)}, 1.8) == []
    assert settling.observe({"a": Stamp(11, 2)}, 2.7) == []
    assert settling.observe({"a": Stamp(11, 2)}, 2.8) == ["a"]


def test_the_files_own_clock_is_not_believed() -> None:
    ancient = Stamp(10, -1)
    settling = Settling(1.0)

    assert settling.observe({"a": ancient}, 100.0) == []


def test_it_is_offered_until_it_is_done_and_then_never_again() -> None:
    settling = Settling(1.0)
    settling.observe({"a": SMALL}, 0.0)

    assert settling.observe({"a": SMALL}, 1.0) == ["a"]
    assert settling.observe({"a": SMALL}, 2.0) == ["a"]
    settling.done("a", SMALL)
    assert settling.observe({"a": SMALL}, 3.0) == []
    assert settling.waiting == 0


def test_a_done_file_that_changes_is_looked_at_again() -> None:
    settling = Settling(1.0)
    settling.observe({"a": SMALL}, 0.0)
    settling.done("a", SMALL)

    assert settling.observe({"a": LARGE}, 1.0) == []
    assert settling.observe({"a": LARGE}, 2.0) == ["a"]


def test_a_change_seen_while_the_old_version_was_dealt_with_is_not_lost() -> None:
    settling = Settling(1.0)
    settling.observe({"a": SMALL}, 0.0)
    settling.observe({"a": LARGE}, 1.0)
    settling.done("a", SMALL)

    assert settling.observe({"a": LARGE}, 2.0) == ["a"]


def test_a_file_that_goes_is_forgotten_and_waits_from_the_start_when_it_returns() -> None:
    settling = Settling(1.0)
    settling.observe({"a": SMALL, "b": SMALL}, 0.0)
    settling.done("b", SMALL)

    assert settling.observe({}, 0.5) == []
    assert settling.waiting == 0
    assert settling.observe({"a": SMALL, "b": SMALL}, 1.0) == []
    assert settling.observe({"a": SMALL, "b": SMALL}, 2.0) == ["a", "b"]


def test_a_restart_begins_the_wait_with_the_next_observation() -> None:
    settling = Settling(1.0)
    settling.observe({"a": SMALL}, 0.0)
    settling.restart("a", SMALL)

    assert settling.observe({"a": SMALL}, 5.0) == []
    assert settling.observe({"a": SMALL}, 6.0) == ["a"]


def test_failures_lengthen_the_wait_for_that_file_alone() -> None:
    settling = Settling(0.0)
    settling.observe({"a": SMALL, "b": SMALL}, 0.0)
    waits = []
    now = 0.0
    for _ in range(14):
        settling.postpone("a", now)
        begun = now
        while "a" not in settling.observe({"a": SMALL, "b": SMALL}, now):
            assert settling.observe({"a": SMALL, "b": SMALL}, now) == ["b"]
            now += 0.25
        waits.append(now - begun)

    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert waits[-1] == 300.0


def test_the_oldest_change_comes_first() -> None:
    settling = Settling(0.0)

    assert settling.observe({"new": Stamp(1, 9), "old": Stamp(1, 3), "also": Stamp(1, 3)}, 0.0) == [
        "also",
        "old",
        "new",
    ]


def test_a_file_that_was_closed_is_complete_at_once_and_the_others_wait_on() -> None:
    settling = Settling(1.0)
    settling.observe({"a": SMALL, "b": SMALL}, 0.0)

    assert settling.complete({"a": SMALL}, 0.1) == ["a"]
    assert settling.observe({"a": SMALL, "b": SMALL}, 0.2) == ["a"]
    settling.done("a", SMALL)
    assert settling.complete({"a": SMALL}, 0.3) == []
    assert settling.observe({"a": SMALL, "b": SMALL}, 1.0) == ["b"]


def test_a_file_that_changes_after_it_was_closed_waits() -> None:
    settling = Settling(1.0)
    settling.complete({"a": SMALL}, 0.0)

    assert settling.observe({"a": LARGE}, 0.1) == []
    assert settling.observe({"a": LARGE}, 1.1) == ["a"]


def test_a_version_closed_while_the_one_before_was_read_is_not_made_to_wait() -> None:
    settling = Settling(1.0)
    settling.complete({"a": SMALL}, 0.0)
    settling.complete({"a": LARGE}, 0.1)
    settling.restart("a", SMALL)

    assert settling.observe({"a": LARGE}, 0.2) == ["a"]


def test_closing_a_file_again_does_not_shorten_its_wait_after_a_failure() -> None:
    settling = Settling(0.0)
    settling.complete({"a": SMALL}, 0.0)
    settling.postpone("a", 0.0)

    assert settling.complete({"a": SMALL}, 0.1) == []
    assert settling.observe({"a": SMALL}, 0.4) == []
    assert settling.observe({"a": SMALL}, 0.6) == ["a"]


def test_a_path_may_have_a_time_of_its_own() -> None:
    settling = Settling(1.0, {"slow": 5.0, "quick": 0.0}.get)

    assert settling.observe({"slow": SMALL, "quick": SMALL, "other": SMALL}, 0.0) == ["quick"]
    assert settling.observe({"slow": SMALL, "quick": SMALL, "other": SMALL}, 1.0) == ["other", "quick"]
    assert settling.observe({"slow": SMALL, "quick": SMALL, "other": SMALL}, 5.0) == ["other", "quick", "slow"]
