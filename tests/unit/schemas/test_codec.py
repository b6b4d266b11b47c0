"""The codec refuses what is not an event, names the attribute at fault, and reads both modes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.codec import CodecError, decode, decode_attributes, encode, to_structured
from schemas.envelope import Event, event_id, new_event
from schemas.metrics import MetricSampled

BINARY = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"e1"),
    ("ce_source", b"test"),
    ("ce_type", b"lab.metric.sampled.v1"),
    ("ce_time", b"2026-03-02T09:15:00Z"),
    ("content-type", b"application/json"),
]


def sampled(**more: Any) -> Event:
    data = MetricSampled(of="silver.ações", name="rows", value=1.5, unit="1")
    return new_event(data, source="test", time=datetime(2026, 3, 2, 9, 15, 0, 123456, UTC), **more)


def without(name: str) -> list[tuple[str, bytes]]:
    return [header for header in BINARY if header[0] != name]


def test_every_attribute_survives_binary_mode() -> None:
    event = sampled(id="e1", causationid="c", correlationid="r", traceparent="00-a-b-01")

    record = encode(event)

    assert decode(*record) == event
    assert record.key == "silver.ações".encode()
    assert dict(record.headers)["ce_time"] == b"2026-03-02T09:15:00.123456Z"


def test_structured_mode_is_read_from_kafka_and_as_an_object() -> None:
    event = sampled(id="e1", correlationid="r")
    body = json.dumps(to_structured(event)).encode()

    assert decode(None, body, [("content-type", b"application/cloudevents+json")]) == event
    assert decode_attributes(json.loads(body)) == event


def test_a_key_that_is_not_text_does_not_matter() -> None:
    assert decode(b"\xff\xfe", b"{}", BINARY).id == "e1"


@pytest.mark.parametrize("name", ["ce_id", "ce_source", "ce_type", "ce_specversion"])
def test_a_record_without_a_required_attribute_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(CodecError, match=rf"{name.removeprefix('ce_')}: is missing"):
        decode(None, b"{}", without(name))


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (None, BINARY),
        (b"", BINARY),
        (b"{", BINARY),
        (b"[1]", BINARY),
        (b'"text"', BINARY),
        (b"\xff\x00", BINARY),
        (b"{}", []),
        (b"not json", []),
        (b"\xff\xfe", []),
        (b"[" * 100_000, []),
        (b"null", []),
        (b"{}", [*without("ce_time"), ("ce_time", b"yesterday")]),
        (b"{}", [*without("ce_id"), ("ce_id", b"\xff")]),
        (b"{}", [*without("ce_id"), ("ce_id", b"")]),
        (b"{}", [*without("ce_specversion"), ("ce_specversion", b"0.3")]),
    ],
)
def test_bytes_that_are_no_event_are_refused(value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    with pytest.raises(CodecError):
        decode(None, value, headers)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"time": "2026-13-01T00:00:00Z"}, "time"),
        ({"time": "2026-01-01T00:00:00"}, "time"),
        ({"source": 5}, "source"),
        ({"type": ""}, "type"),
        ({"id": None}, "id"),
        ({"id": "x" * 2049}, "id"),
        ({"data": "text"}, "data"),
        ({"data_base64": "e30="}, "data_base64"),
        ({"data": None, "data_base64": "!"}, "data_base64"),
        ({"data": None, "data_base64": 5}, "data_base64"),
        ({"data": None, "data_base64": ""}, "data"),
        ({"data": None, "data_base64": "e30=", "datacontenttype": "text/plain"}, "datacontenttype"),
        ({"datacontenttype": "application/xml"}, "datacontenttype"),
        ({"datacontenttype": "application/json; charset=latin-1"}, "datacontenttype"),
        ({"datacontenttype": 5}, "datacontenttype"),
        ({"anExtension": "x"}, "anExtension"),
        ({"extension": {"a": 1}}, "extension"),
        ({"extension": 1.5}, "extension"),
        ({"extension": "a\x00b"}, "extension"),
        ({"extension": "\ud800"}, "extension"),
        ({"extension": "x" * 3000}, "extension"),
        ({"subject": "a\x00b"}, "subject"),
        ({"source": "\ud800"}, "source"),
        ({"causationid": 7}, "causationid"),
    ],
)
def test_the_attribute_at_fault_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(CodecError) as caught:
        decode_attributes({**to_structured(sampled(id="e1")), **change})

    assert [fault.partition(":")[0] for fault in caught.value.faults] == [field]


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(CodecError) as caught:
        decode_attributes({"specversion": "1.0", "data": {}})

    assert caught.value.faults == ("id: is missing", "source: is missing", "type: is missing")


def test_ids_are_deterministic_and_keep_their_parts_apart() -> None:
    assert event_id("a", "b") == event_id("a", "b")
    assert len({event_id("a", "b"), event_id("ab"), event_id("b", "a"), event_id("a", "b", "")}) == 4


def test_an_effect_carries_the_trace_of_its_cause() -> None:
    root = sampled(id="root")
    child = sampled(id="child", cause=root)
    grandchild = sampled(id="grandchild", cause=child)

    assert (child.causationid, child.correlationid) == ("root", "root")
    assert (grandchild.causationid, grandchild.correlationid) == ("child", "root")
