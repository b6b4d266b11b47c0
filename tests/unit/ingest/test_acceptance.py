"""What senders may send, and the problems that name what is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from datalab.runtime.web import Problem
from schemas.codec import decode
from schemas.envelope import Event
from services.ingest.acceptance import EVENT_LIMIT, UserType, accept, attributes_of, checked
from services.ingest.body import parse_json, unstorable

# Stands for a body in which NUL may be.
ODD = b"\\u0000"
NOW = datetime(2026, 3, 2, tzinfo=UTC)
DATA = {"of": "silver.stocks", "name": "rows", "value": 3, "unit": "1"}


def sent(**changed: Any) -> dict[str, Any]:
    event = {"specversion": "1.0", "id": "e1", "source": "test", "type": "lab.metric.sampled.v1", "data": DATA}
    return {**event, **changed}


def stored(attributes: dict[str, Any]) -> Event:
    """The event as a consumer will read it."""
    return decode(*accept(attributes, NOW, {}).record)


def refusal(**changed: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        accept(checked(sent(**changed), ODD), NOW, {})
    return caught.value


def test_time_and_subject_are_filled_in() -> None:
    event = stored(sent())

    assert (event.time, event.subject) == (NOW, "silver.stocks")
    assert stored(sent(subject="mine", time="1970-01-01T00:00:00Z")).subject == "mine"


@pytest.mark.parametrize("time", ["1970-01-01T00:00:00Z", "2026-03-01T23:00:00Z", "2026-03-02T23:59:59.5-00:00"])
def test_times_long_ago_and_of_a_clock_that_goes_wrong_are_kept(time: str) -> None:
    assert stored(sent(time=time)).time == datetime.fromisoformat(time)


@pytest.mark.parametrize("time", ["2100-12-31T23:59:59.5-03:00", "2026-03-03T00:00:01Z"])
def test_times_of_more_than_a_day_ahead_are_refused(time: str) -> None:
    problem = refusal(time=time)
    assert (problem.status, problem.extra["errors"][0]["field"]) == (422, "time")


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"type": "lab.nothing.v1"}, ["type"]),
        ({"type": ["a"]}, ["type"]),
        ({"specversion": "0.3"}, ["specversion"]),
        ({"data": {"of": "x", "value": "much"}}, ["data.name", "data.value", "data.unit"]),
        ({"data": {**DATA, "extra": 1}}, ["data.extra"]),
        ({"data": {**DATA, "labels": {"a": 1}}}, ["data.labels.a"]),
        ({"data": None}, ["data"]),
        ({"time": "yesterday"}, ["time"]),
        ({"id": "a\x00b"}, ["id"]),
        ({"data": {**DATA, "labels": {"k": "\ud800"}}}, ["data.labels.k"]),
        ({"data": {**DATA, "labels": {"k\x00": "v"}}}, ["data.labels"]),
    ],
)
def test_the_field_at_fault_is_named(changed: dict[str, Any], fields: list[str]) -> None:
    problem = refusal(**changed)

    assert problem.status == 422
    assert [error["field"] for error in problem.extra["errors"]] == fields
    assert all(error["reason"] for error in problem.extra["errors"])


def test_an_unknown_type_lists_the_known_ones() -> None:
    assert "lab.file.arrived.v1" in refusal(type="lab.nothing.v1").extra["known_types"]


@pytest.mark.parametrize("value", [None, 1, "text", [], [sent()]])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(Problem) as caught:
        accept(value, NOW, {})
    assert caught.value.status == 422


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"\\u0062": 1, "b": 2}}',
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
        b"[" * 202 + b"]" * 202,
        b'{"a": 1} {}',
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        parse_json(body)
    assert (caught.value.status, caught.value.title) == (400, "Malformed JSON")


def test_a_key_that_stands_twice_is_named_with_its_place() -> None:
    with pytest.raises(Problem, match=r'duplicate key "b" at line 2 column 22'):
        parse_json(b'{"a": {\n "b": 1, "c": 2, "b": 3}}')


def test_numbers_that_are_too_large_for_any_reader_are_named() -> None:
    problem = refusal(data=parse_json(b'{"of": "x", "name": "n", "value": -1e400, "unit": "1"}'))
    assert problem.extra["errors"] == [{"field": "data.value", "reason": "the number is out of range"}]


def test_integers_beyond_2_to_the_53_are_stored_exactly() -> None:
    labels = parse_json(b'{"n": 36893488147419103233}')
    users = {"my.type": UserType("my.type", 1, {}, lambda _: [])}
    draft = accept(sent(type="my.type", data=labels), NOW, users)

    assert draft.record.value == b'{"n":36893488147419103233}'
    assert draft.topic == "lab.events.my.type"


def test_users_types_are_judged_by_their_schema_and_keyed_by_subject_or_source() -> None:
    users = {"my.type": UserType("my.type", 3, {}, lambda data: [] if "a" in data else ["b.c: is wrong"])}
    with pytest.raises(Problem) as caught:
        accept(sent(type="my.type"), NOW, users)
    assert caught.value.extra == {"errors": [{"field": "data.b.c", "reason": "is wrong"}], "schema_version": 3}
    fits = sent(type="my.type", data={"a": 1})
    assert accept(fits, NOW, users).record.key == b"test"
    assert accept({**fits, "subject": "s"}, NOW, users).record.key == b"s"


def test_a_users_type_that_nobody_registered_says_how_to() -> None:
    assert "/v1/schemas/my.type" in refusal(type="my.type").detail


def test_an_event_that_is_too_large_by_itself_is_told_apart_in_a_batch() -> None:
    with pytest.raises(Problem) as caught:
        accept(sent(data={**DATA, "labels": {"a": "x" * EVENT_LIMIT}}), NOW, {})
    assert (caught.value.status, caught.value.extra["errors"][0]["field"]) == (413, "data")


def test_json_a_hundred_levels_deep_and_large_numbers_are_read() -> None:
    deep = parse_json(b'{"a":' * 100 + b"9007199254740993" + b"}" * 100)

    assert unstorable(deep) is None
    assert b"9007199254740993" in json.dumps(deep).encode()


def test_pairs_of_surrogates_are_ordinary_characters() -> None:
    assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"
    assert unstorable(parse_json(b'"\\ud83d\\ude00"')) is None


@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "application/json"}, {"content-type": "text/csv", "ce-id": "1"}]
)
def test_other_content_types_are_refused_with_those_that_are_taken(headers: dict[str, str]) -> None:
    with pytest.raises(Problem) as caught:
        attributes_of(headers, b"{}")
    assert caught.value.status == 415
    assert "application/" in caught.value.detail
