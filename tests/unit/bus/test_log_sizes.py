"""Bytes of topics, out of what brokers say of their directories."""

from __future__ import annotations

from typing import Any

from datalab.bus.log_sizes import sizes_of


def directory(*partitions: tuple[str, int, int, bool]) -> dict[str, Any]:
    topics = [
        {"topic": name, "partitions": [{"partition": number, "size": size, "offset_lag": 0, "is_future": future}]}
        for name, number, size, future in partitions
    ]
    return {"error_code": 0, "path": "/var/lib/kafka", "topics": topics}


def test_every_partition_counts_once_however_many_copies_there_are() -> None:
    first = {"dirs": [directory(("a", 0, 100, False)), directory(("a", 1, 30, False), ("b", 0, 7, False))]}
    behind = {"dirs": [directory(("a", 0, 80, False), ("a", 1, 30, False))]}
    assert sizes_of([first, behind]) == {"a": 130, "b": 7}


def test_a_copy_that_is_being_moved_to_another_disk_does_not_count() -> None:
    assert sizes_of([{"dirs": [directory(("a", 0, 100, False)), directory(("a", 0, 120, True))]}]) == {"a": 100}
