"""Idempotency-Key: an answer once given is given again, by every instance, and nothing is published for it."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from datalab.bus.reader import read_events
from datalab.store.engine import create_engine, create_sessions
from datalab.store.tables.ingest_api import AnswerRow
from schemas.envelope import Event
from services.ingest.answers import Answer, Answers, Claim

from .conftest import RunningIngest, ShiftedClock, StartIngest

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"


def metric(of: str, **changed: Any) -> dict[str, Any]:
    data = {"of": of, "name": "rows", "value": 3, "unit": "1"}
    return {"specversion": "1.0", "source": "test", "type": "lab.metric.sampled.v1", "data": data, **changed}


async def send(ingest: RunningIngest, body: Any, key: str, kind: str = STRUCTURED) -> httpx.Response:
    headers = {"content-type": kind, "idempotency-key": key}
    return await ingest.http.post("/v1/events", json=body, headers=headers)


async def about(ingest: RunningIngest, of: str) -> list[Event]:
    return [e async for _, e in read_events(ingest.bootstrap, ["lab.metrics"]) if e.data["of"] == of]


@pytest.fixture
def of() -> str:
    return uuid.uuid4().hex


async def test_a_repeat_gets_the_first_answer_and_publishes_nothing(start_ingest: StartIngest, of: str) -> None:
    async with start_ingest() as ingest, start_ingest() as other:
        first = await send(ingest, metric(of), of)
        repeats = [await send(instance, metric(of), of) for instance in (ingest, other)]

        assert first.status_code == 202, first.text
        assert "idempotency-replayed" not in first.headers
        assert [(r.status_code, r.json(), r.headers["idempotency-replayed"]) for r in repeats] == [
            (202, first.json(), "true")
        ] * 2
        assert [event.id for event in await about(ingest, of)] == [first.json()["id"]]


async def test_another_body_under_the_same_key_is_refused(start_ingest: StartIngest, of: str) -> None:
    async with start_ingest() as ingest:
        await send(ingest, metric(of), of)
        answer = await send(ingest, metric(of, subject="else"), of)

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
        assert len(await about(ingest, of)) == 1


async def test_twenty_at_once_publish_once(start_ingest: StartIngest, of: str) -> None:
    async with start_ingest() as ingest, start_ingest() as other:
        answers = await asyncio.gather(*(send(one, metric(of), of) for one in (ingest, other) * 10))

        assert {answer.status_code for answer in answers} <= {202, 409}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers if answer.status_code == 409)
        assert (await send(ingest, metric(of), of)).status_code == 202
        assert len(await about(ingest, of)) == 1


async def test_ids_that_the_caller_leaves_out_follow_from_the_key(start_ingest: StartIngest, of: str) -> None:
    async with start_ingest() as ingest:
        answer = await send(ingest, [metric(of), metric(of, id="mine"), metric(of)], of, BATCH)

        ids = [result["id"] for result in answer.json()["results"]]
        assert answer.status_code == 202, answer.text
        assert ids[1] == "mine"
        assert len(set(ids)) == 3
        assert (await send(ingest, [metric(of)], f"{of}-2", BATCH)).json()["results"][0]["id"] not in ids
        without_key = await ingest.http.post("/v1/events", json=metric(of), headers={"content-type": STRUCTURED})
        assert without_key.json()["errors"][0]["field"] == "id"


async def test_what_a_killed_process_left_is_published_again_under_the_same_ids(
    start_ingest: StartIngest, database_url: str, of: str
) -> None:
    """The process is killed between publishing and storing its answer: its claim is all that is left."""
    clock = ShiftedClock()
    async with start_ingest(clock=clock, ingest_claim_seconds=30) as ingest:
        engine = create_engine(database_url)
        async with create_sessions(engine).begin() as session:
            first = await send(ingest, metric(of), of)
            row = await session.get(AnswerRow, ("anonymous", of))
            assert row is not None
            row.status, row.body = None, None
        await engine.dispose()
        assert (await send(ingest, metric(of), of)).status_code == 409
        clock.ahead = timedelta(seconds=31)
        again = await send(ingest, metric(of), of)

        assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
        stored = await about(ingest, of)
        assert len(stored) == 2
        assert stored[0] == stored[1]
        assert (await send(ingest, metric(of), of)).json() == again.json()


async def test_a_refusal_frees_the_key_for_the_corrected_event(start_ingest: StartIngest, of: str) -> None:
    async with start_ingest() as ingest:
        assert (await send(ingest, metric(of, data={}), of)).status_code == 422
        assert (await send(ingest, metric(of), of)).status_code == 202


async def test_an_outage_of_kafka_is_no_answer(start_ingest: StartIngest, of: str) -> None:
    async with start_ingest(kafka_bootstrap_servers="127.0.0.1:9", ingest_publish_timeout_seconds=1) as away:
        assert (await send(away, metric(of), of)).status_code == 503
        assert (await send(away, metric(of), of)).status_code == 503
        # It may be on the topic after all, so another event must not take its ids.
        assert (await send(away, metric(of, subject="else"), of)).status_code == 422
    async with start_ingest() as ingest:
        assert (await send(ingest, metric(of), of)).status_code == 202


async def test_after_a_week_a_key_is_new_and_its_row_goes(
    start_ingest: StartIngest, database_url: str, of: str
) -> None:
    clock = ShiftedClock()
    engine = create_engine(database_url)
    sessions = create_sessions(engine)
    async with start_ingest(clock=clock) as ingest:
        await send(ingest, metric(of), of)
        clock.ahead = timedelta(days=6, hours=23)
        assert "idempotency-replayed" in (await send(ingest, metric(of), of)).headers
        clock.ahead = timedelta(days=7, minutes=1)
        assert "idempotency-replayed" not in (await send(ingest, metric(of, subject="else"), of)).headers
        clock.ahead = timedelta(days=15)
        assert await Answers(sessions, clock, 60).prune() > 0
        async with sessions() as session:
            assert await session.scalar(select(func.count()).select_from(AnswerRow)) == 0
    await engine.dispose()


async def test_who_is_slower_than_its_claim_leaves_the_answer_of_its_successor(database_url: str, of: str) -> None:
    clock = ShiftedClock()
    engine = create_engine(database_url)
    answers = Answers(create_sessions(engine), clock, 1)

    async def quick(_: Claim) -> Answer:
        return Answer(202, b"quick")

    async def slow(_: Claim) -> Answer:
        clock.ahead = timedelta(seconds=2)
        assert (await answers.once("s", of, "f", quick))[0].body == b"quick"
        return Answer(202, b"slow")

    assert (await answers.once("s", of, "f", slow))[0].body == b"slow"
    assert (await answers.once("s", of, "f", slow)) == (Answer(202, b"quick"), True)
    await engine.dispose()


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "ã"])
async def test_a_key_that_is_none_is_named(start_ingest: StartIngest, key: str) -> None:
    async with start_ingest() as ingest:
        headers = [(b"content-type", STRUCTURED.encode()), (b"idempotency-key", key.encode("latin-1"))]
        answer = await ingest.http.post("/v1/events", json=metric("x"), headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
