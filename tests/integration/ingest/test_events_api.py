"""`POST /v1/events` against a real broker: what is answered with 202 is on the topic, and what is refused is not."""

from __future__ import annotations

import json
import time
import uuid
from functools import partial
from typing import Any

from datalab.bus.reader import read_events
from schemas.envelope import Event
from tests.support.polling import eventually

from .conftest import StartIngest

STRUCTURED = {"content-type": "application/cloudevents+json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}


def metric(**changed: Any) -> dict[str, Any]:
    event = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "test",
        "type": "lab.metric.sampled.v1",
        "data": {"of": "silver.stocks", "name": "rows", "value": 3, "unit": "1"},
    }
    return {**event, **changed}


async def on_topic(bootstrap: str) -> dict[str, list[tuple[str, int, int, Event]]]:
    found: dict[str, list[tuple[str, int, int, Event]]] = {}
    async for ref, event in read_events(bootstrap, ["lab.metrics"]):
        found.setdefault(event.id, []).append((*ref, event))
    return found


async def test_an_accepted_event_is_where_the_answer_says(start_ingest: StartIngest) -> None:
    async with start_ingest() as ingest:
        sent = metric(correlationid="chain")
        answer = await ingest.http.post("/v1/events", json=sent, headers=STRUCTURED)

        assert answer.status_code == 202
        said = answer.json()
        ((topic, partition, offset, event),) = (await on_topic(ingest.bootstrap))[sent["id"]]
        assert said == {"id": sent["id"], "type": event.type, "topic": topic, "partition": partition, "offset": offset}
        assert (event.subject, event.correlationid) == ("silver.stocks", "chain")


async def test_binary_mode_is_accepted(start_ingest: StartIngest) -> None:
    async with start_ingest() as ingest:
        sent = metric()
        headers = {
            "content-type": "application/json",
            "ce-specversion": "1.0",
            "ce-id": sent["id"],
            "ce-source": "test",
            "ce-type": sent["type"],
            "ce-subject": "a%C3%A7%C3%B5es",
        }
        answer = await ingest.http.post("/v1/events", content=json.dumps(sent["data"]), headers=headers)

        assert answer.status_code == 202
        ((*_, event),) = (await on_topic(ingest.bootstrap))[sent["id"]]
        assert (event.subject, event.data["value"]) == ("ações", 3)


async def test_a_batch_is_judged_event_by_event(start_ingest: StartIngest) -> None:
    async with start_ingest() as ingest:
        good, unknown, wrong = metric(), metric(type="lab.nothing.v1"), metric(data={"of": "x"})
        last = metric()
        answer = await ingest.http.post("/v1/events", json=[good, unknown, 7, wrong, last], headers=BATCH)

        assert answer.status_code == 207
        body = answer.json()
        assert (body["accepted"], body["refused"]) == (2, 3)
        assert [result["status"] for result in body["results"]] == [202, 422, 422, 422, 202]
        assert body["results"][1]["errors"][0]["field"] == "type"
        assert [error["field"] for error in body["results"][3]["errors"]] == ["data.name", "data.value", "data.unit"]
        stored = await on_topic(ingest.bootstrap)
        assert {good["id"], last["id"]} <= stored.keys()
        assert {unknown["id"], wrong["id"]}.isdisjoint(stored)


async def test_a_large_batch_keeps_its_order_per_key(start_ingest: StartIngest) -> None:
    async with start_ingest() as ingest:
        sent = [metric() for _ in range(500)]
        answer = await ingest.http.post("/v1/events", json=sent, headers=BATCH)

        assert answer.status_code == 202
        stored = await on_topic(ingest.bootstrap)
        offsets = [stored[event["id"]][0][2] for event in sent]
        assert offsets == sorted(offsets)
        assert len(set(offsets)) == 500
        assert [result["offset"] for result in answer.json()["results"]] == offsets


async def test_an_event_that_grows_beyond_kafkas_limit_is_refused(start_ingest: StartIngest) -> None:
    async with start_ingest() as ingest:
        # Below the limit as UTF-8, above it as Kafka gets it.
        grown = metric(data={"of": "ç" * 300_000, "name": "rows", "value": 1, "unit": "1"})
        body = json.dumps(grown, ensure_ascii=False).encode()
        assert len(body) < 1024 * 1024
        answer = await ingest.http.post("/v1/events", content=body, headers=STRUCTURED)

        assert answer.status_code == 413, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


async def test_kafka_away_is_answered_with_503_in_time(start_ingest: StartIngest) -> None:
    async with start_ingest(kafka_bootstrap_servers="127.0.0.1:9", ingest_publish_timeout_seconds=2) as ingest:
        begun = time.monotonic()
        answer = await ingest.http.post("/v1/events", json=metric(), headers=STRUCTURED)

        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert time.monotonic() - begun < 4
        ready = await ingest.http.get("/readyz")
        assert ready.status_code == 503
        assert "kafka" in ready.json()["checks"]
        assert (await ingest.http.get("/livez")).status_code == 200


async def test_it_is_ready_and_shows_its_metrics(start_ingest: StartIngest) -> None:
    async with start_ingest() as ingest:
        await ingest.http.post("/v1/events", json=metric(), headers=STRUCTURED)
        ready = await eventually(
            partial(ingest.http.get, "/readyz?verbose"), until=lambda answer: answer.status_code == 200
        )
        assert set(ready.json()["checks"]) == {"kafka", "postgres", "arrivals", "outbox", "datasets"}
        assert 'datalab_ingest_events_total{outcome="accepted"}' in (await ingest.http.get("/metrics")).text
