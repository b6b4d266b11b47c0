"""Lag and records of a topic, from offsets alone."""

from __future__ import annotations

import pytest

from datalab.bus.inspection import PartitionView, TopicView

TOPIC = TopicView("t", (PartitionView(0, 10, 25), PartitionView(1, 0, 5)), leaderless=(2,))


def test_records_are_those_that_are_kept_and_every_partition_counts() -> None:
    assert (TOPIC.records, TOPIC.size) == (20, 3)


@pytest.mark.parametrize(
    ("committed", "lag"),
    [
        pytest.param({0: 25, 1: 5}, 0, id="all read"),
        pytest.param({0: 20, 1: 5}, 5, id="behind"),
        pytest.param({0: 25}, 5, id="a partition it never read"),
        pytest.param({0: 3, 1: 5}, 15, id="retention took what it had not read"),
        pytest.param({0: 26, 1: 5}, 0, id="never negative"),
    ],
)
def test_lag_is_what_the_group_has_still_to_read(committed: dict[int, int], lag: int) -> None:
    assert TOPIC.lag(committed) == lag


def test_of_each_partition_with_something_unread_the_place_where_the_group_goes_on() -> None:
    assert TOPIC.unread({0: 25}) == {1: 0}
    assert TOPIC.unread({0: 3, 1: 5}) == {0: 10}
    assert TOPIC.unread({0: 25, 1: 5}) == {}
