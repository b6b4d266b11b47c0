"""What senders may send, and the problems that name what is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from datalab.runtime.web import Problem
from services.ingest.acceptance import accept, attributes_of
from services.ingest.body import parse_json, unstorable

NOW = datetime(2026, 3, 2, tzinfo=UTC)
DATA = {"of": "silver.stocks", "name": "rows", "value": 3, "unit": "1"}


def sent(**changed: Any) -> dict[str, Any]:
    event = {"specversion": "1.0", "id": "e1", "source": "test", "type": "lab.metric.sampled.v1", "data": DATA}
    return {**event, **changed}


def refusal(**changed: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        accept(sent(**changed), NOW)
    return caught.value


def test_time_and_subject_are_filled_in() -> None:
    event = accept(sent(), NOW)

    assert (event.time, event.subject) == (NOW, "silver.stocks")
    assert accept(sent(subject="mine", time="1970-01-01T00:00:00Z"), NOW).subject == "mine"


@pytest.mark.parametrize("time", ["1970-01-01T00:00:00Z", "2100-12-31T23:59:59.5-03:00"])
def test_times_long_ago_and_far_ahead_are_kept(time: str) -> None:
    assert accept(sent(time=time), NOW).time == datetime.fromisoformat(time)


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
        accept(value, NOW)
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
        b'{"a": 1e400}',
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        parse_json(body)
    assert (caught.value.status, caught.value.title) == (400, "Malformed JSON")


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
