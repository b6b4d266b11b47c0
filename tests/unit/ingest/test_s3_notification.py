"""Notifications of S3 stores, in each store's own dialect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import CodecError
from services.ingest.s3.notification import Notice, object_keys, read_notification

# What versitygw 1.8 sent to Kafka for one test event, two puts and one removal, in the order it arrived.
RECORDED = Path(__file__).parents[2] / "support" / "s3_notifications_versitygw.jsonl"
AWKWARD = "stocks/2026-11-23/AAPL dados=ção+100%41 %2F%.csv"


def record(key: str, **changed: Any) -> dict[str, Any]:
    body = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-23T15:03:47.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "landing", "arn": "arn:aws:s3:::landing"},
            "object": {"key": key, "size": 38, "eTag": "25ed8e4d6ede3a0afe36f09479318975", "sequencer": "0055AED6DC"},
        },
    }
    return {**body, **changed}


def aws(key: str) -> dict[str, Any]:
    return record(quote_plus(key, safe="/"))


def minio(key: str) -> dict[str, Any]:
    return record(
        quote_plus(key, safe=""), eventSource="minio:s3", eventName="s3:ObjectCreated:CompleteMultipartUpload"
    )


def rustfs(key: str) -> dict[str, Any]:
    return record(
        quote_plus(key, safe="*"), eventSource="rustfs:s3", eventName="s3:ObjectCreated:Put", source={"host": "x"}
    )


def versitygw(key: str) -> dict[str, Any]:
    body = record(key, eventName="s3:ObjectCreated:Put")
    body["s3"]["bucket"]["arn"] = f"arn:aws:s3:::/landing/{key}"
    body["s3"]["object"] |= {"eTag": '"25ed8e4d6ede3a0afe36f09479318975-2"', "versionId": None, "sequencer": "1"}
    return body


def read(*records: dict[str, Any], **around: Any) -> list[Notice]:
    return read_notification(None, json.dumps({"Records": list(records), **around}).encode())


@pytest.mark.parametrize("dialect", [aws, minio, rustfs, versitygw])
@pytest.mark.parametrize(
    "key", [AWKWARD, "a b", "a+b", "a%41b", "a/b", "a%2Fb", "ç", "100%", "+", "%", "a*b~c", "//", " "]
)
def test_every_key_comes_back_as_the_store_has_it(dialect: Any, key: str) -> None:
    assert read(dialect(key)) == [Notice(bucket="landing", keys=(key,))]


@given(key=st.text(min_size=1, max_size=200), dialect=st.sampled_from([aws, minio, rustfs, versitygw]))
def test_any_text_at_all_comes_back(key: str, dialect: Any) -> None:
    try:
        key.encode()
    except UnicodeEncodeError:
        return
    assert read(dialect(key))[0].keys == (key,)


def test_the_recorded_notifications_are_read() -> None:
    lines = [line.encode() for line in RECORDED.read_text("utf-8").splitlines()]
    assert [read_notification(None, line) for line in lines] == [
        [Notice(bucket="landing", keys=("stocks/big.bin",))],
        [Notice(bucket="landing", keys=("stocks/2026-11-23/AAPL dados=ção.csv",))],
        [],
        [Notice(bucket="landing", keys=("stocks/big.bin",))],
    ]


def test_a_store_that_does_not_say_how_it_writes_keys_is_given_both_readings() -> None:
    assert object_keys("a%20b+c", "other:s3", "arn:other:s3:::b") == ("a b c", "a%20b+c")
    assert object_keys("plain/key.csv", "other:s3", "") == ("plain/key.csv",)
    assert object_keys("a b+c", "other:s3", "") == ("a b+c",)
    assert object_keys("100%", "other:s3", "") == ("100%",)
    assert object_keys("%FF", "aws:s3", "") == ("%FF",)


def test_several_records_are_several_notices_and_repeats_are_one() -> None:
    notices = read(aws("a"), aws("b"), aws("a"), minio("c"), EventName="s3:ObjectCreated:Put", Key="landing/a")
    assert [notice.keys for notice in notices] == [("a",), ("b",), ("c",)]


@pytest.mark.parametrize(
    ("name", "noticed"),
    [
        ("ObjectCreated:Put", True), ("s3:ObjectCreated:Copy", True),
        ("s3:ObjectCreated:CompleteMultipartUpload", True),
        ("ObjectRemoved:Delete", True), ("s3:ObjectRemoved:DeleteMarkerCreated", True),
        ("LifecycleExpiration:Delete", True), ("s3:ObjectRestore:Completed", True),
        ("s3:ObjectAccessed:Get", False), ("ObjectTagging:Put", False), ("s3:ObjectRestore:Post", False),
    ],
)  # fmt: skip
def test_only_what_changes_the_content_that_is_there_counts(name: str, noticed: bool) -> None:
    assert bool(read(record("a", eventName=name))) == noticed


@pytest.mark.parametrize(
    "test_event",
    [
        {"Bucket": "b", "Event": "s3:TestEvent", "Service": "S3", "Time": "2026-11-23T15:03:44Z"},
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "x", "Bucket": "b", "RequestId": "r", "HostId": "h"},
    ],
)
def test_test_events_are_no_notices(test_event: dict[str, str]) -> None:
    assert read_notification(None, json.dumps(test_event).encode()) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "no value"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "must be a JSON object"),
        (b"{}", "Records: is missing"),
        (b'{"Records": 7}', "Records: is missing"),
        (b'{"Records": [7]}', "Records.0"),
        (json.dumps({"Records": [aws("a"), record("")]}).encode(), "Records.1.s3.object.key"),
        (json.dumps({"Records": [{"eventName": "ObjectCreated:Put"}]}).encode(), "Records.0.s3: Field required"),
    ],
)
def test_what_is_no_notification_is_refused_with_the_field(value: bytes | None, words: str) -> None:
    with pytest.raises(CodecError) as raised:
        read_notification(None, value)
    assert words in str(raised.value)
