"""The HTTP face with a publisher that a test controls: limits, problems, answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from datalab.bus.publisher import RecordRef, RecordRefusedError
from datalab.runtime.clock import Clock, SystemClock
from datalab.runtime.health import Health
from datalab.store.engine import create_engine, create_sessions
from schemas.catalog import EVENT_TYPES
from schemas.codec import EncodedRecord
from services.ingest.acceptance import EVENT_LIMIT
from services.ingest.events_api import BATCH_LIMIT
from services.ingest.http import build_http
from services.ingest.settings import IngestSettings
from tests.support.polling import eventually

STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
EVENT = {
    "specversion": "1.0",
    "id": "e1",
    "source": "test",
    "type": "lab.metric.sampled.v1",
    "data": {"of": "x", "name": "rows", "value": 1, "unit": "1"},
}


class ScriptedPublisher:
    """Answers as the test says: an exception is raised, None stands for a record reference."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.fault: Callable[[str], Exception | None] = lambda _: None
        self.released = asyncio.Event()
        self.released.set()
        self.asked = 0

    async def count(self) -> int:
        return self.asked

    async def publish_all(self, records: Sequence[tuple[str, EncodedRecord]]) -> list[RecordRef | Exception]:
        self.asked += 1
        await self.released.wait()
        return [self._outcome(dict(record.headers)["ce_id"].decode()) for _, record in records]

    def _outcome(self, identity: str) -> RecordRef | Exception:
        if (error := self.fault(identity)) is not None:
            return error
        self.published.append(identity)
        return RecordRef("lab.metrics", 0, len(self.published) - 1)


@pytest.fixture
def publisher() -> ScriptedPublisher:
    return ScriptedPublisher()


def build(publisher: ScriptedPublisher, clock: Clock, **changed: Any) -> FastAPI:
    """The application with a database that is away: nothing here may need it."""
    small = {"ingest_max_in_flight": 3, "ingest_body_timeout_seconds": 60, **changed}
    sessions = create_sessions(create_engine("postgresql+asyncpg://nobody@/none?host=/nowhere"))
    return build_http(IngestSettings.model_validate(small), Health(), publisher, sessions, clock).app


def client(app: FastAPI, **more: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://ingest", **more)


@pytest.fixture
def app(publisher: ScriptedPublisher) -> FastAPI:
    return build(publisher, SystemClock())


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client(app) as http:
        yield http


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["instance"]) == (status, "/v1/events")
    assert body["title"]
    assert body["detail"]
    return body


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 65536 + 1):
        yield b" " * 65536


@pytest.mark.parametrize(("headers", "limit"), [(STRUCTURED, EVENT_LIMIT), (BATCH, BATCH_LIMIT)])
async def test_a_body_is_counted_as_it_streams_in(http: httpx.AsyncClient, headers: dict[str, str], limit: int) -> None:
    answer = await http.post("/v1/events", content=chunks(limit), headers=headers)

    assert problem(answer, 413)["limit_bytes"] == limit


async def test_a_declared_length_is_refused_before_it_is_read(http: httpx.AsyncClient) -> None:
    headers = {**STRUCTURED, "content-length": str(EVENT_LIMIT + 1)}
    problem(await http.post("/v1/events", content=b"", headers=headers), 413)


async def test_a_body_at_the_limit_is_read(http: httpx.AsyncClient) -> None:
    body = json.dumps(EVENT).encode()
    answer = await http.post("/v1/events", content=body + b" " * (EVENT_LIMIT - len(body)), headers=STRUCTURED)
    assert answer.status_code == 202


async def test_a_body_that_does_not_come_is_given_up(publisher: ScriptedPublisher) -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with client(build(publisher, SystemClock(), ingest_body_timeout_seconds=0.5)) as http:
        problem(await http.post("/v1/events", content=stalled(), headers=STRUCTURED), 408)


async def test_malformed_json_says_where(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/events", content=b'{"a": }', headers=STRUCTURED)
    assert "line 1 column 7" in problem(answer, 400)["detail"]


@pytest.mark.parametrize("fault", [ConnectionError("no broker at 10.0.0.1:9092"), TimeoutError("late")])
async def test_kafka_away_is_503_with_a_time_to_come_back(
    http: httpx.AsyncClient, publisher: ScriptedPublisher, fault: Exception
) -> None:
    publisher.fault = lambda _: fault
    answer = await http.post("/v1/events", json=EVENT, headers=STRUCTURED)

    assert "10.0.0.1" not in problem(answer, 503)["detail"]
    assert answer.headers["retry-after"] == "5"


async def test_a_record_that_kafka_refuses_is_the_senders_to_mend(
    http: httpx.AsyncClient, publisher: ScriptedPublisher
) -> None:
    publisher.fault = lambda _: RecordRefusedError("MessageSizeTooLargeError")
    problem(await http.post("/v1/events", json=EVENT, headers=STRUCTURED), 413)


async def test_more_than_may_wait_for_kafka_is_turned_away_at_once(
    http: httpx.AsyncClient, publisher: ScriptedPublisher
) -> None:
    publisher.released.clear()
    waiting = [asyncio.create_task(http.post("/v1/events", json=EVENT, headers=STRUCTURED)) for _ in range(3)]
    await eventually(publisher.count, until=lambda asked: asked == 3)

    problem(await http.post("/v1/events", json=EVENT, headers=STRUCTURED), 503)
    publisher.released.set()
    assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [202, 202, 202]
    assert (await http.post("/v1/events", json=EVENT, headers=STRUCTURED)).status_code == 202


async def test_an_unexpected_fault_is_a_problem_without_its_inside(
    http: httpx.AsyncClient, publisher: ScriptedPublisher
) -> None:
    publisher.fault = lambda _: RuntimeError("password=hunter2")
    answer = await http.post("/v1/events", json=EVENT, headers=STRUCTURED)

    assert "hunter2" not in json.dumps(problem(answer, 500))


@pytest.mark.parametrize(
    ("body", "status"),
    [([], 202), ([EVENT], 202), ([EVENT, {}], 207), ([{}], 422), ({}, 422), (7, 422), ([{}] * 5001, 413)],
)
async def test_a_batch_is_answered_by_what_became_of_it(http: httpx.AsyncClient, body: Any, status: int) -> None:
    answer = await http.post("/v1/events", json=body, headers=BATCH)
    assert answer.status_code == status, answer.text


async def test_a_batch_half_stored_says_which_half(http: httpx.AsyncClient, publisher: ScriptedPublisher) -> None:
    publisher.fault = lambda identity: ConnectionError("away") if identity == "e2" else None
    answer = await http.post("/v1/events", json=[EVENT, {**EVENT, "id": "e2"}], headers=BATCH)

    assert answer.status_code == 207
    assert answer.headers["retry-after"]
    assert [(result["id"], result["status"]) for result in answer.json()["results"]] == [("e1", 202), ("e2", 503)]


async def test_every_schema_is_served_and_an_unknown_one_lists_the_known(http: httpx.AsyncClient) -> None:
    for type_ in EVENT_TYPES:
        answer = await http.get(f"/v1/schemas/{type_}")
        assert answer.headers["content-type"] == "application/schema+json"
        assert answer.json()["type"] == "object"
    unknown = await http.get("/v1/schemas/lab.nothing.v1")
    assert unknown.status_code == 404
    assert set(unknown.json()["known_types"]) == set(EVENT_TYPES)


async def test_the_openapi_description_is_served(http: httpx.AsyncClient) -> None:
    described = (await http.get("/openapi.json")).json()
    paths = described["paths"]
    assert {scheme["scheme"] for scheme in described["components"]["securitySchemes"].values()} == {"bearer"}
    unguarded = {path for path, ways in paths.items() for way in ways.values() if "security" not in way}
    assert unguarded == {"/livez", "/readyz", "/metrics"}
    assert set(paths["/v1/events"]["post"]["requestBody"]["content"]) == {
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "application/json",
    }


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/v1/schemas", {}),
        ("GET", "/v1/topics", {}),
        ("GET", "/v1/schemas/my.type", {}),
        ("POST", "/v1/events", {"idempotency-key": "k"}),
        ("POST", "/v1/events", {"authorization": "Bearer dlt_x"}),
        ("PUT", "/v1/schemas/my.type", {}),
    ],
)
async def test_postgres_away_is_503_where_it_is_needed(
    http: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]
) -> None:
    body = {"type": "object"} if method == "PUT" else EVENT
    answer = await http.request(method, path, json=body, headers={**STRUCTURED, **headers})

    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json"), answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert "/nowhere" not in answer.text


async def test_events_of_our_types_need_no_postgres(http: httpx.AsyncClient) -> None:
    assert (await http.post("/v1/events", json=EVENT, headers=STRUCTURED)).status_code == 202
    users = await http.post("/v1/events", json={**EVENT, "type": "my.type"}, headers=STRUCTURED)
    assert users.status_code == 503


async def test_bodies_that_wait_are_bounded_in_bytes(publisher: ScriptedPublisher) -> None:
    app = build(publisher, SystemClock(), ingest_max_held_bytes=9 * 1024 * 1024, ingest_max_in_flight=100)
    large = json.dumps({**EVENT, "data": {**EVENT["data"], "labels": {"a": "x" * 1_000_000}}})
    async with client(app) as http:
        publisher.released.clear()
        sending = [asyncio.create_task(http.post("/v1/events", content=large, headers=STRUCTURED)) for _ in range(12)]
        # Nothing but a refusal is answered before Kafka is there, and what is not refused waits for it.
        turned_away = [await one for one in islice(asyncio.as_completed(sending, timeout=60), 3)]
        assert [problem(answer, 503)["status"] for answer in turned_away] == [503] * 3
        assert all(answer.headers["retry-after"] for answer in turned_away)
        publisher.released.set()
        statuses = [answer.status_code for answer in await asyncio.gather(*sending)]
        assert sorted(statuses) == [202] * 9 + [503] * 3
        assert (await http.post("/v1/events", content=large, headers=STRUCTURED)).status_code == 202


class StillClock(SystemClock):
    """Stands still for durations: on a busy machine a second passes before the next request."""

    def monotonic(self) -> float:
        return 1000.0


async def test_a_client_without_a_token_has_a_rate_of_its_own(publisher: ScriptedPublisher) -> None:
    app = build(publisher, StillClock(), ingest_rate_events_per_second=1)
    transport = httpx.ASGITransport(app, client=("10.0.0.1", 1))
    async with client(app) as here, httpx.AsyncClient(transport=transport, base_url="http://ingest") as there:
        assert (await here.post("/v1/events", json=[{}] * 5000, headers=BATCH)).status_code == 422
        refused = await here.post("/v1/events", json=EVENT, headers=STRUCTURED)
        assert problem(refused, 429)["title"] == "Too Many Requests"
        assert int(refused.headers["retry-after"]) == 1
        assert (await there.post("/v1/events", json=EVENT, headers=STRUCTURED)).status_code == 202


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        (b'{"id": "a", "id": "b"}', 400, 'duplicate key "id"'),
        (b'{"id": "a\\u0000"}', 422, "id: the character NUL"),
        (b'{"id": "\\ud800"}', 400, "line 1"),
        (b"\xff", 400, "line 1"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, 400, "recursion limit"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, 422, "is missing"),
    ],
)
async def test_bad_text_is_named_by_place_or_field(
    http: httpx.AsyncClient, body: bytes, status: int, where: str
) -> None:
    assert where in problem(await http.post("/v1/events", content=body, headers=STRUCTURED), status)["detail"]
    batch = await http.post("/v1/events", content=b"[" + body + b"]", headers=BATCH)
    assert where in problem(batch, status)["detail"]
