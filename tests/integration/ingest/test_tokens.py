"""Bearer tokens on real Postgres: what they let in, what they keep out, and what nobody gets to see."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import select

from datalab.store.engine import create_engine, create_sessions
from datalab.store.tables.ingest_api import TokenRow
from datalab.store.tokens import PREFIX, Tokens

from .conftest import RunningIngest, ShiftedClock, StartIngest

METRIC = {
    "specversion": "1.0",
    "source": "test",
    "id": "e1",
    "type": "lab.metric.sampled.v1",
    "data": {"of": "x", "name": "n", "value": 1, "unit": "1"},
}


@pytest.fixture
async def tokens(database_url: str) -> AsyncIterator[Tokens]:
    engine = create_engine(database_url)
    yield Tokens(create_sessions(engine))
    await engine.dispose()


async def made(tokens: Tokens, scopes: Sequence[str] = ("type:*",), expires_at: datetime | None = None) -> str:
    return (await tokens.create(uuid.uuid4().hex, scopes, expires_at))[1]


async def post(ingest: RunningIngest, authorization: str | None) -> httpx.Response:
    headers = {"content-type": "application/cloudevents+json"}
    if authorization is not None:
        headers["authorization"] = authorization
    return await ingest.http.post("/v1/events", json=METRIC, headers=headers)


async def test_without_a_token_only_where_nobody_else_can_reach_it(start_ingest: StartIngest) -> None:
    async with start_ingest() as here, start_ingest(DATALAB_HOST="0.0.0.0") as reachable:
        assert (await post(here, None)).status_code == 202
        refused = await post(reachable, None)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == 'Bearer realm="datalab"'
        assert refused.headers["content-type"] == "application/problem+json"
        assert (await reachable.http.get("/v1/files")).status_code == 401
        assert (await reachable.http.get("/v1/schemas")).status_code == 401
        assert (await reachable.http.put("/v1/schemas/my.type", json={})).status_code == 401
        assert (await reachable.http.get("/livez")).status_code == 200
    async with start_ingest(ingest_require_tokens=True) as strict:
        assert (await post(strict, None)).status_code == 401
    async with start_ingest(DATALAB_HOST="0.0.0.0", ingest_require_tokens=False) as opened:
        assert (await post(opened, None)).status_code == 202


async def test_a_valid_token_publishes_and_reads(start_ingest: StartIngest, tokens: Tokens) -> None:
    secret = await made(tokens)
    async with start_ingest(ingest_require_tokens=True) as ingest:
        assert (await post(ingest, f"Bearer {secret}")).status_code == 202
        assert (await post(ingest, f"bearer  {secret}")).status_code == 202
        listed = await ingest.http.get("/v1/schemas", headers={"authorization": f"Bearer {secret}"})
        assert listed.status_code == 200


@pytest.mark.parametrize("authorization", ["Bearer", "Bearer ", "Basic YTpi", "dlt_x", f"Bearer {PREFIX}{'x' * 43}"])
async def test_a_token_that_is_none_is_refused_also_where_none_is_needed(
    start_ingest: StartIngest, authorization: str
) -> None:
    async with start_ingest() as ingest:
        answer = await post(ingest, authorization)
        assert answer.status_code == 401
        assert 'error="' in answer.headers["www-authenticate"]
        assert "x" * 43 not in answer.text


async def test_expired_and_revoked_tokens_are_refused(start_ingest: StartIngest, tokens: Tokens) -> None:
    clock = ShiftedClock()
    soon = await made(tokens, expires_at=datetime.now(UTC) + timedelta(minutes=1))
    token, later = await tokens.create(uuid.uuid4().hex, ["type:*"], None)
    async with start_ingest(clock=clock) as ingest:
        assert [(await post(ingest, f"Bearer {one}")).status_code for one in (soon, later)] == [202, 202]
        await tokens.revoke(token.name)
        clock.ahead = timedelta(minutes=2)
        answers = [await post(ingest, f"Bearer {one}") for one in (soon, later)]
        assert [answer.status_code for answer in answers] == [401, 401]
        assert "expired" in answers[0].json()["detail"]
        assert "revoked" in answers[1].json()["detail"]


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        (["type:lab.metric.*"], 202),
        (["topic:lab.metrics"], 202),
        (["type:lab.metric"], 403),
        (["schemas:*", "topic:lab.runs"], 403),
        ([], 403),
    ],
)
async def test_scopes_are_patterns_of_types_and_topics(
    start_ingest: StartIngest, tokens: Tokens, scopes: list[str], status: int
) -> None:
    secret = await made(tokens, scopes)
    async with start_ingest() as ingest:
        answer = await post(ingest, f"Bearer {secret}")
        assert answer.status_code == status
        assert ("insufficient_scope" in answer.headers.get("www-authenticate", "")) == (status == 403)


async def test_a_batch_is_let_in_event_by_event(start_ingest: StartIngest, tokens: Tokens) -> None:
    secret = await made(tokens, ["type:lab.metric.*"])
    headers = {"content-type": "application/cloudevents-batch+json", "authorization": f"Bearer {secret}"}
    degraded = {"service": "kafka", "check": "answer", "reason": "x", "since": "2026-03-02T00:00:00Z"}
    other = {**METRIC, "type": "lab.service.degraded.v1", "data": degraded}
    async with start_ingest() as ingest:
        answer = await ingest.http.post("/v1/events", json=[METRIC, other], headers=headers)
        assert [result["status"] for result in answer.json()["results"]] == [202, 403], answer.text


async def test_schemas_need_a_scope_of_their_own(start_ingest: StartIngest, tokens: Tokens) -> None:
    publisher, registrar = await made(tokens), await made(tokens, ["schemas:tokens.*"])
    async with start_ingest() as ingest:
        statuses = [
            (
                await ingest.http.put(
                    "/v1/schemas/tokens.made", json={"type": "object"}, headers={"authorization": f"Bearer {secret}"}
                )
            ).status_code
            for secret in (publisher, registrar)
        ]
        assert statuses == [403, 201]


async def test_keys_are_kept_apart_by_token(start_ingest: StartIngest, tokens: Tokens) -> None:
    key = uuid.uuid4().hex
    async with start_ingest() as ingest:
        for secret in (await made(tokens), await made(tokens)):
            headers = {"content-type": "application/cloudevents+json", "idempotency-key": key}
            headers["authorization"] = f"Bearer {secret}"
            answer = await ingest.http.post("/v1/events", json=METRIC, headers=headers)
            assert (answer.status_code, "idempotency-replayed" in answer.headers) == (202, False)


async def test_only_a_hash_is_kept_and_names_are_not_reused(tokens: Tokens, database_url: str) -> None:
    token, secret = await tokens.create("kept", ["type:*"], None)
    engine = create_engine(database_url)
    async with create_sessions(engine)() as session:
        row = (await session.scalars(select(TokenRow).where(TokenRow.name == "kept"))).one()
    await engine.dispose()

    assert secret.startswith(PREFIX)
    assert len(secret) == len(PREFIX) + 43
    assert secret[len(PREFIX) :] not in repr({c.name: getattr(row, c.name) for c in TokenRow.__table__.columns})
    await tokens.revoke(token.name)
    with pytest.raises(ValueError, match="already"):
        await tokens.create("kept", ["type:*"], None)
    with pytest.raises(LookupError, match="no token"):
        await tokens.revoke("nobody")
    with pytest.raises(ValueError, match="type:PATTERN"):
        await tokens.create("other", ["everything"], None)


async def test_each_sender_has_its_own_rate(start_ingest: StartIngest, tokens: Tokens) -> None:
    clock = ShiftedClock()
    one, other = await made(tokens), await made(tokens)
    async with start_ingest(clock=clock, ingest_rate_events_per_second=10) as ingest:
        batch = {"content-type": "application/cloudevents-batch+json", "authorization": f"Bearer {one}"}
        assert (await ingest.http.post("/v1/events", json=[METRIC] * 4999, headers=batch)).status_code == 202
        full = await ingest.http.post("/v1/events", json=[METRIC] * 500, headers=batch)
        assert full.status_code == 429
        assert 1 <= int(full.headers["retry-after"]) <= 50
        assert (await post(ingest, f"Bearer {other}")).status_code == 202
        assert (await post(ingest, None)).status_code == 202
        clock.ahead = timedelta(seconds=51)
        assert (await ingest.http.post("/v1/events", json=[METRIC] * 500, headers=batch)).status_code == 202
