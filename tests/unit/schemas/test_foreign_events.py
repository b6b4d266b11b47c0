"""Records and objects of any other CloudEvents producer are read, or refused by the attribute that is at fault; ours
are read by other readers. Both newer and older readers of the public SDK stand for the others."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings import kafka as sdk
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1 import kafka as old_sdk
from cloudevents.v1.http import CloudEvent as OldCloudEvent
from pydantic import ValidationError

from schemas.catalog import EVENT_TYPES
from schemas.codec import CodecError, decode, decode_attributes, encode, to_structured
from schemas.envelope import Event

TYPE = "com.example.sold"
AT = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
MINE = sorted((Path(__file__).parents[3] / "schemas" / "examples").glob("*/*.json"))


def headers(**changed: bytes | None) -> list[tuple[str, bytes]]:
    """Those of the least event there is, with some changed, added or, by None, left out. `_` in a name stays."""
    least: dict[str, bytes | None] = {
        "ce_specversion": b"1.0", "ce_id": b"e1", "ce_source": b"/shop", "ce_type": TYPE.encode(),
    }  # fmt: skip
    return [(name, value) for name, value in {**least, **changed}.items() if value is not None]


def content(kind: str) -> dict[str, Any]:
    return {"content-type": kind.encode()}


@pytest.mark.parametrize(
    "written",
    [
        headers(**content("application/json")),
        headers(**content("application/json; charset=utf-8")),
        headers(**content("application/json;charset=UTF-8")),
        headers(**content('Application/JSON ; charset="utf-8"')),
        headers(**content("text/json")),
        headers(**content("application/vnd.shop.sold+json")),
        headers(),
        [(name.upper(), value) for name, value in headers(**content("application/json"))],
        [(name.title(), value) for name, value in headers()],
        [*headers(), ("traceId", b"\xff\xfe"), ("traceId", b"twice")],
    ],
)
def test_binary_mode_is_read_however_its_headers_are_written(written: list[tuple[str, bytes]]) -> None:
    event = decode(None, b'{"a": 1}', written, AT)

    assert (event.id, event.source, event.type, event.data) == ("e1", "/shop", TYPE, {"a": 1})


def test_an_event_without_a_time_gets_that_of_its_record_at_each_reading() -> None:
    whole = json.dumps({"specversion": "1.0", "id": "e", "source": "s", "type": TYPE, "data": {}}).encode()

    assert decode(None, b"{}", headers(), AT).time == decode(None, whole, [], AT).time == AT
    assert decode(None, b"{}", headers(ce_time=b"2020-01-01T00:00:00Z"), AT).time.year == 2020
    assert abs(decode(None, b"{}", headers()).time - datetime.now(UTC)).total_seconds() < 60


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-02T09:15:00Z", datetime(2026, 3, 2, 9, 15, tzinfo=UTC)),
        ("2026-03-02t09:15:00z", datetime(2026, 3, 2, 9, 15, tzinfo=UTC)),
        ("2026-03-02T06:15:00-03:00", datetime(2026, 3, 2, 9, 15, tzinfo=UTC)),
        ("2026-03-02T09:15:00.123456789Z", datetime(2026, 3, 2, 9, 15, 0, 123456, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2100-12-31T23:59:59Z", datetime(2100, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_others_write_them(text: str, time: datetime) -> None:
    assert decode(None, b"{}", headers(ce_time=text.encode())).time == time


def test_attributes_that_nobody_here_knows_are_kept() -> None:
    event = decode(
        b"k", b"{}", headers(ce_partitionkey=b"k1", ce_tracestate=b"a=b", ce_sequence=b"7", ce_empty=b""), AT
    )
    extensions = {"partitionkey": "k1", "tracestate": "a=b", "sequence": "7", "empty": ""}

    assert event.extensions == extensions
    assert {**to_structured(event), **extensions} == to_structured(event)
    assert decode_attributes(to_structured(event)) == event
    assert dict(encode(event).headers)["ce_partitionkey"] == b"k1"
    assert decode(*encode(event)) == event


def test_an_extension_cannot_take_the_place_of_an_attribute() -> None:
    event = decode(None, b"{}", headers(), AT)

    with pytest.raises(ValidationError, match="id is an attribute of its own"):
        Event(**{**dict(event), "extensions": {"id": "e2"}})


def test_values_of_extensions_become_text_as_cloudevents_writes_them() -> None:
    whole = {"specversion": "1.0", "id": "e1", "source": "s", "type": TYPE, "data": {}}
    event = decode_attributes({**whole, "sampled": True, "sequence": 7, "none": None})

    assert event.extensions == {"sampled": "true", "sequence": "7"}


def test_structured_mode_is_told_by_its_content_type_even_beside_headers() -> None:
    whole = {"specversion": "1.0", "id": "e2", "source": "/shop", "type": TYPE, "data": {"b": 2}}
    kind = content("application/cloudevents+json; charset=utf-8")
    event = decode(None, json.dumps(whole).encode(), headers(**kind), AT)

    assert (event.id, event.data) == ("e2", {"b": 2})


def test_data_in_base64_is_read_where_it_is_json() -> None:
    encoded = base64.b64encode('{"a": "ção"}'.encode()).decode()
    whole = {"specversion": "1.0", "id": "e1", "source": "s", "type": TYPE, "data_base64": encoded}

    assert decode_attributes({**whole, "datacontenttype": "application/json"}).data == {"a": "ção"}
    assert decode_attributes(whole).data == {"a": "ção"}


@pytest.mark.parametrize(
    ("value", "written", "fault"),
    [
        (b"<a/>", headers(**content("application/xml")), "datacontenttype"),
        (b"{}", headers(**content("application/json; charset=utf-16")), "datacontenttype"),
        (b"\x00\x01", headers(**content("application/octet-stream")), "datacontenttype"),
        (b"{}", headers(**content("application/cloudevents+avro")), "content-type"),
        (b"[]", headers(**content("application/cloudevents-batch+json")), "content-type"),
        (b"", headers(), "data"),
        (b"[1]", headers(), "data"),
        (b"5", headers(), "data"),
        (b"{", headers(), "data"),
        (b"\xff", headers(), "data"),
        (b'{"a": 1, "a": 2}', headers(), "data"),
        (b'{"a": NaN}', headers(), "data"),
        (b'{"a": 1e400}', headers(), "data"),
        (b'{"a": "\\u0000"}', headers(), "data"),
        (b'{"\\u0000": 1}', headers(), "data"),
        (b'{"a": "\\ud800"}', headers(), "data"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, headers(), "data"),
        (b"{}", headers(ce_id=b"\xff"), "id"),
        (b"{}", headers(ce_id=b"a\x00b"), "id"),
        (b"{}", headers(ce_time=b"yesterday"), "time"),
        (b"{}", headers(ce_time=b"2026-03-02T09:15:00"), "time"),
        (b"{}", headers(ce_specversion=b"0.3"), "specversion"),
        (b"{}", headers(ce_data=b"{}"), "data"),
        (b"{}", headers(**{"ce_b-c": b"x"}), "b-c"),
        (b"{}", [*headers(), ("ce_id", b"e2")], "id"),
        (b"{}", [*headers(), ("CE_ID", b"e2")], "id"),
        (b"{}", [("ce_id", None), *headers(ce_id=None)], "id"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_what_is_at_fault(
    value: bytes, written: list[tuple[str, bytes]], fault: str
) -> None:
    with pytest.raises(CodecError) as caught:
        decode(None, value, written, AT)

    assert [one.partition(":")[0] for one in caught.value.faults] == [fault]
    str(caught.value).encode()


@pytest.mark.parametrize("number", [2**53 + 1, -(2**63) - 1, 10**40])
def test_whole_numbers_are_kept_exactly(number: int) -> None:
    event = decode(None, json.dumps({"a": number}).encode(), headers(), AT)

    assert event.data == {"a": number}
    assert decode(*encode(event)).data == {"a": number}


def test_json_of_a_hundred_levels_is_read() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"a": deep}

    assert decode(None, json.dumps(deep).encode(), headers(), AT).data == deep


@pytest.mark.parametrize("path", MINE, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_we_write_is_read_by_others(path: Path) -> None:
    event = decode_attributes(json.loads(path.read_text("utf-8")))
    record = encode(event)
    others = sdk.from_kafka(sdk.KafkaMessage(dict(record.headers), record.key, record.value), JSONFormat())
    # It reads `ce_` headers in its own way and knows nothing of ours.
    older = old_sdk.from_binary(old_sdk.KafkaMessage(dict(record.headers), record.key, record.value), OldCloudEvent)

    assert event.type in EVENT_TYPES
    for read in ((others.get_attributes(), others.get_data()), (older.get_attributes(), older.get_data())):
        assert (read[0]["id"], read[0]["source"], read[0]["type"], read[1]) == (
            event.id, event.source, event.type, event.data,
        )  # fmt: skip
        assert (read[0].get("subject"), read[0].get("correlationid")) == (event.subject, event.correlationid)


@pytest.mark.parametrize("write", [sdk.to_binary_event, sdk.to_structured_event])
def test_what_others_write_is_read_by_us(write: Any) -> None:
    attributes = {"id": "e1", "source": "/shop", "type": TYPE, "subject": "é", "time": AT, "partitionkey": "p"}
    message = write(CloudEvent({**attributes, "specversion": "1.0"}, {"a": [1, "ç"]}))
    event = decode(message.key, message.value, list(message.headers.items()))

    assert (event.id, event.subject, event.time, event.data) == ("e1", "é", AT, {"a": [1, "ç"]})
    assert event.extensions == {"partitionkey": "p"}


def test_what_the_older_sdk_writes_is_read_by_us() -> None:
    attributes = {"id": "e1", "source": "/shop", "type": TYPE, "time": AT.isoformat()}
    written = OldCloudEvent({**attributes, "datacontenttype": "application/json"}, {"a": 1})

    for message in (old_sdk.to_binary(written), old_sdk.to_structured(written)):
        event = decode(None, message.value, list(message.headers.items()))
        assert (event.id, event.time, event.data) == ("e1", AT, {"a": 1})
