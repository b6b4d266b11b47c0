"""A real S3 store is asked to keep an object; one that refuses, hangs or is away is told in time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from flows.watch.object_store import PREFIX, Store, store_keeps
from flows.watch.settings import WatchSettings
from tests.support.odd_servers import silent_server
from tests.support.processes import free_port
from tests.support.s3_gateway import ACCESS_KEY, SECRET_KEY, Gateway, s3_gateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with s3_gateway(tmp_path_factory.mktemp("s3"), None) as started:
        yield started


def settings(secret: str = SECRET_KEY) -> WatchSettings:
    return WatchSettings(s3_access_key_id=ACCESS_KEY, s3_secret_access_key=secret)


def keys(gateway: Gateway, bucket: str) -> list[str]:
    return [entry["Key"] for entry in gateway.client.list_objects_v2(Bucket=bucket).get("Contents", ())]


async def test_an_object_is_put_read_and_deleted_in_a_bucket_that_is_made(gateway: Gateway) -> None:
    store = Store(gateway.url, "watch", makes_bucket=True)
    for _ in range(2):
        assert await store_keeps(store, settings(), 10) is None
    assert keys(gateway, "watch") == []


async def test_what_somebody_else_put_there_just_now_stays(gateway: Gateway) -> None:
    gateway.client.create_bucket(Bucket="shared")
    for key in (f"{PREFIX}of-another-look", "data.csv"):
        gateway.put("shared", key, "x")
    assert await store_keeps(Store(gateway.url, "shared"), settings(), 10) is None
    assert keys(gateway, "shared") == [f"{PREFIX}of-another-look", "data.csv"]


async def test_without_a_bucket_of_ours_the_buckets_are_listed(gateway: Gateway) -> None:
    assert await store_keeps(Store(gateway.url, None), settings(), 10) is None


async def test_a_bucket_that_is_not_ours_to_make_and_a_wrong_key_are_told(gateway: Gateway) -> None:
    missing = await store_keeps(Store(gateway.url, "missing"), settings(), 10)
    assert missing is not None
    assert missing.startswith("PutObject answers NoSuchBucket")
    refused = await store_keeps(Store(gateway.url, None), settings("wrong-secret"), 10)
    assert refused is not None
    assert refused.startswith("ListBuckets answers SignatureDoesNotMatch")
    assert "wrong-secret" not in refused


async def test_one_that_hangs_and_one_that_is_away_are_told_in_time() -> None:
    with silent_server() as port:
        began = time.monotonic()
        hanging = await store_keeps(Store(f"http://127.0.0.1:{port}", None), settings(), 0.5)
        assert time.monotonic() - began < 5
    away = await store_keeps(Store(f"http://127.0.0.1:{free_port()}", None), settings(), 5)
    assert "Timeout" in str(hanging)
    assert "EndpointConnectionError" in str(away)
