"""Users' own types: registered by their JSON Schema, validated, and put on a topic of their own."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from datalab.bus.reader import read_events
from datalab.bus.user_topics import user_topics
from tests.support.polling import eventually

from .conftest import RunningIngest, ShiftedClock, StartIngest

PROPERTIES = {"order": {"type": "string"}, "total": {"type": "number", "minimum": 0}}
ORDER = {
    "type": "object",
    "properties": PROPERTIES,
    "required": ["order"],
    "additionalProperties": False,
}
WIDER = {**ORDER, "properties": {**PROPERTIES, "note": {"type": "string"}}}


@pytest.fixture
def type_() -> str:
    return f"shop.t{uuid.uuid4().hex[:8]}.v1"


async def put(ingest: RunningIngest, type_: str, schema: Any) -> httpx.Response:
    return await ingest.http.put(f"/v1/schemas/{type_}", json=schema)


async def post(ingest: RunningIngest, type_: str, data: Any, **changed: Any) -> httpx.Response:
    event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "shop", "type": type_, "data": data, **changed}
    headers = {"content-type": "application/cloudevents+json"}
    return await ingest.http.post("/v1/events", json=event, headers=headers)


async def test_a_registered_type_is_validated_and_has_its_topic(start_ingest: StartIngest, type_: str) -> None:
    clock = ShiftedClock()
    async with start_ingest(clock=clock) as ingest:
        unknown = await post(ingest, type_, {"order": "1"})
        assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "type")
        made = await put(ingest, type_, ORDER)
        assert (made.status_code, made.json()["version"], made.json()["topic"]) == (201, 1, f"lab.events.{type_}")
        await eventually(partial(user_topics, ingest.bootstrap), until=lambda names: f"lab.events.{type_}" in names)

        clock.ahead = timedelta(seconds=1.1)  # so long a type that was unknown is not asked for again
        wrong = await post(ingest, type_, {"total": -1, "extra": 1})
        assert wrong.status_code == 422
        assert {error["field"] for error in wrong.json()["errors"]} == {"data.order", "data.total", "data.extra"}
        right = await post(ingest, type_, {"order": "1", "total": 2**60}, subject="order 1")
        assert (right.status_code, right.json()["topic"]) == (202, f"lab.events.{type_}")
        ((ref, event),) = [pair async for pair in read_events(ingest.bootstrap, [f"lab.events.{type_}"])]
        assert (ref.offset, event.subject, event.data) == (
            right.json()["offset"],
            "order 1",
            {"order": "1", "total": 2**60},
        )


async def test_versions_go_with_all_earlier_ones_and_the_same_is_no_new_one(
    start_ingest: StartIngest, type_: str
) -> None:
    async with start_ingest() as ingest:
        answers = [await put(ingest, type_, schema) for schema in (ORDER, ORDER, WIDER, WIDER)]
        assert [(a.status_code, a.json()["version"]) for a in answers] == [(201, 1), (200, 1), (201, 2), (200, 2)]
        narrow = {**WIDER, "properties": {"order": {"type": "string", "maxLength": 3}}}
        refused = await put(ingest, type_, narrow)

        assert refused.status_code == 409
        assert {error["field"] for error in refused.json()["errors"]} == {"order", "total", "note"}
        assert (await ingest.http.get(f"/v1/schemas/{type_}")).json() == WIDER
        first = await ingest.http.get(f"/v1/schemas/{type_}", params={"version": 1})
        assert (first.json(), first.headers["schema-versions"]) == (ORDER, "1,2")
        assert (await ingest.http.get(f"/v1/schemas/{type_}", params={"version": 3})).status_code == 404
        listed = {entry["type"]: entry for entry in (await ingest.http.get("/v1/schemas")).json()["schemas"]}
        assert listed[type_]["versions"] == [1, 2]
        assert "lab.file.arrived.v1" in listed
        topics = {topic["name"]: topic for topic in (await ingest.http.get("/v1/topics")).json()["topics"]}
        assert topics[f"lab.events.{type_}"]["types"] == [type_]
        assert topics["lab.files"]["types"] == ["lab.file.arrived.v1"]
        assert topics["lab.dead-letters"]["types"] == []


async def test_what_one_instance_registers_the_others_take(start_ingest: StartIngest, type_: str) -> None:
    clock = ShiftedClock()
    async with start_ingest() as one, start_ingest(clock=clock) as other:
        await put(one, type_, ORDER)
        assert (await post(other, type_, {"order": "1"})).status_code == 202
        await put(one, type_, WIDER)
        clock.ahead = timedelta(seconds=1.1)  # so long an instance is content with what it knows
        assert (await post(other, type_, {"order": "1", "note": "n"})).status_code == 202
        assert (await post(other, type_, {"order": "1", "else": "n"})).status_code == 422


async def test_two_that_register_at_once_make_one_version_each(start_ingest: StartIngest, type_: str) -> None:
    async with start_ingest() as one, start_ingest() as other:
        answers = await asyncio.gather(put(one, type_, ORDER), put(other, type_, WIDER), put(one, type_, ORDER))
        versions = sorted(a.json()["version"] for a in answers if a.status_code == 201)
        assert versions == list(range(1, len(versions) + 1))
        assert {a.status_code for a in answers} <= {200, 201, 409}


async def test_without_a_broker_nothing_is_registered(start_ingest: StartIngest, type_: str) -> None:
    async with start_ingest(kafka_bootstrap_servers="127.0.0.1:9", ingest_publish_timeout_seconds=1) as away:
        refused = await put(away, type_, ORDER)
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        assert (await away.http.get(f"/v1/schemas/{type_}")).status_code == 404


@pytest.mark.parametrize(
    ("name", "schema", "field"),
    [
        ("lab.mine.v1", ORDER, "type"),
        ("Shop.Order", ORDER, "type"),
        ("shop", ORDER, "type"),
        ("shop.a_b", ORDER, "type"),
        ("x." + "y" * 199, ORDER, "type"),
        ("shop.wrong", [], "schema"),
        ("shop.wrong", {"type": "array"}, "type"),
        ("shop.wrong", {"type": "object", "properties": 7}, "properties"),
        ("shop.wrong", {"type": "object", "$defs": {"a": {"$ref": "https://example.org/a"}}}, "$defs.a.$ref"),
        ("shop.wrong", {"type": "object", "$schema": 5}, "$schema"),
        ("shop.wrong", {"type": "object", "const": float("inf")}, "schema.const"),
    ],
)  # fmt: skip
async def test_what_cannot_be_registered_says_what_is_wrong(
    start_ingest: StartIngest, name: str, schema: Any, field: str
) -> None:
    async with start_ingest() as ingest:
        body = json.dumps(schema).replace("Infinity", "1e400")
        answer = await ingest.http.put(f"/v1/schemas/{name}", content=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["field"] == field


async def test_a_schema_too_large_or_too_deep_is_refused(start_ingest: StartIngest) -> None:
    async with start_ingest() as ingest:
        large = await put(ingest, "shop.large", {"type": "object", "description": "x" * 300_000})
        assert large.status_code == 413
        deep: dict[str, Any] = {"type": "string"}
        for _ in range(70):
            deep = {"type": "object", "properties": {"a": deep}}
        assert (await put(ingest, "shop.deep", deep)).status_code == 422
