"""The books of `make faults-bridge` find what is wrong: a count that cannot fail proves nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.envelope import Event
from tests.faults.bridge.books import Books, out_of_order
from tests.faults.bridge.waiting import of_windows

BALANCED = Books("c", 3, 1, 3, 0, 0, 0, 3, 0, 2)


def event(id_: str, dataset: str) -> Event:
    data = {"dataset": dataset}
    return Event(id=id_, source="t", type="lab.file.arrived.v1", time=datetime(2026, 1, 1, tzinfo=UTC), data=data)


def test_balanced_books_have_no_faults_and_records_that_are_repeated_under_their_id_are_none() -> None:
    assert BALANCED.faults() == []


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"lost": 1}, "lost 1"),
        ({"duplicated": 2}, "duplicated 2"),
        ({"out_of_order": 1}, "out_of_order 1"),
        ({"told_under_two_ids": 1}, "told_under_two_ids 1"),
        ({"told": 2}, "told 2 of 3"),
    ],
)
def test_what_does_not_balance_is_named(wrong: dict[str, Any], fault: str) -> None:
    assert replace(BALANCED, **wrong).faults() == [fault]


def test_order_is_looked_at_within_a_key_and_an_event_without_a_run_is_not_out_of_order() -> None:
    published = [event("a1", "a"), event("b1", "b"), event("a2", "a"), event("a3", "a"), event("b2", "b")]
    times = {"a1": "2026-01-01T10:00:02Z", "a2": "2026-01-01T10:00:01Z", "a3": "2026-01-01T10:00:02Z"}
    runs = {each.id: [{"created": times[each.id]}] if each.id in times else [] for each in published}
    assert out_of_order(published, runs) == 1
    runs["b1"], runs["b2"] = [{"created": "2026-01-01T10:00:00Z"}], [{"created": "2026-01-01T10:00:00Z"}]
    assert out_of_order(published, runs) == 1


def named(name: str, dataset: str) -> Event:
    return event(name, dataset).model_copy(update={"data": {"dataset": dataset, "name": name}})


def window(names: str, second: int) -> dict[str, Any]:
    return {"parameters": {"name": names}, "created": f"2026-01-01T00:00:{second:02d}Z"}


@pytest.mark.parametrize(
    ("runs", "wrong"),
    [
        ([window("1 3", 1), window("2", 2), window("4", 3)], {}),
        ([window("1", 1), window("2", 2), window("4", 3)], {"lost": 1}),
        ([window("1 3", 1), window("2", 2), window("3", 3), window("4", 3)], {"duplicated": 1}),
        ([window("1 2", 1), window("3", 2), window("4", 3)], {"out_of_order": 1}),
        ([window("3", 1), window("1", 2), window("2", 3), window("4", 3)], {"out_of_order": 1}),
    ],
)
def test_an_event_in_no_window_in_two_or_in_one_of_another_key_or_order_is_found(
    runs: list[dict[str, Any]], wrong: dict[str, int]
) -> None:
    published = [named("1", "a"), named("2", "b"), named("3", "a"), named("4", "b")]
    told = Books("c", 0, 1, len(runs), 0, 0, 0, len(runs), 0, 0)
    books = of_windows(told, published, runs)
    found = {name: getattr(books, name) for name in ("lost", "duplicated", "out_of_order") if getattr(books, name)}
    assert found == wrong
    assert (books.events, books.told) == (4, 4)
    assert of_windows(replace(told, told=1), published, runs).faults(), "a run whose end was not told is a fault"
