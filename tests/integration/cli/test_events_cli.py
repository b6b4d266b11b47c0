"""`datalab publish` and `datalab events` against a running ingest, a real broker and real ledgers."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest

from datalab.store.engine import create_engine, create_sessions
from datalab.store.tables.bridge import TriggerRow

from .conftest import Datalab

DATA = '{"of": "silver.stocks", "name": "rows", "value": 3, "unit": "1"}'


def published(datalab: Datalab, *words: str) -> dict[str, Any]:
    result = datalab("publish", "lab.metric.sampled.v1", "--data", DATA, "--json", *words)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_what_was_published_is_shown(datalab: Datalab) -> None:
    identity = str(uuid.uuid4())
    answer = published(datalab, "--id", identity, "--subject", "mine")
    shown = json.loads(datalab("events", "show", identity).stdout)

    assert answer["id"] == identity
    assert shown["record"] == f"{answer['topic']}[{answer['partition']}]@{answer['offset']}"
    assert (shown["event"]["subject"], shown["event"]["data"]) == ("mine", json.loads(DATA))


def test_the_tail_ends_where_the_topic_does_unless_it_follows(datalab: Datalab) -> None:
    answer = published(datalab)
    result = datalab("events", "tail", "--from", "beginning", "--no-follow", "--topic", "lab.metrics", "--json")

    ids = [json.loads(line)["event"]["id"] for line in result.stdout.splitlines()]
    assert answer["id"] in ids
    assert len(datalab("events", "tail", "--from", "beginning", "--limit", "1").stdout.splitlines()) == 1


def test_a_trace_joins_kafka_and_the_ledgers(datalab: Datalab, database_url: str) -> None:
    root = published(datalab)
    run = str(uuid.uuid4())

    async def trigger() -> None:
        engine = create_engine(database_url)
        async with create_sessions(engine).begin() as session:
            session.add(
                TriggerRow(
                    id=str(uuid.uuid4()), rule="rows", event_id=root["id"], event_type=root["type"],
                    correlation_id=root["id"], topic=root["topic"], partition=root["partition"],
                    offset=root["offset"], deployment="flow/deployment", idempotency_key=str(uuid.uuid4()),
                    parameters={}, tags=[], status="created", flow_run_id=run, run_state="COMPLETED",
                )
            )  # fmt: skip
        await engine.dispose()

    asyncio.run(trigger())
    traced = json.loads(datalab("events", "trace", root["id"], "--json").stdout)
    lines = datalab("events", "trace", root["id"]).stdout.splitlines()

    assert traced["correlation"] == root["id"]
    assert [node["flow_run_id"] for node in traced["trace"][0]["children"]] == [run]
    assert len(lines) == 2
    assert run in lines[1]
    assert lines[0].endswith("◀")


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        (["publish", "lab.nothing.v1", "--data", "{}"], ValueError, "known types"),
        (["publish", "lab.metric.sampled.v1", "--data", "{}"], ValueError, "data.of"),
        (["events", "show", "nothing"], LookupError, "no event nothing"),
        (["events", "trace", "nothing"], LookupError, "no event nothing"),
        (["events", "tail", "--topic", "nothing"], ValueError, "lab.files"),
    ],
)
def test_a_mistake_is_said_in_one_line(datalab: Datalab, words: list[str], error: type[Exception], text: str) -> None:
    result = datalab(*words)

    assert isinstance(result.exception, error)
    assert text in str(result.exception)


def test_a_lab_that_does_not_run_is_said(datalab: Datalab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")

    for words in (["publish", "lab.metric.sampled.v1", "--data", DATA], ["events", "show", "x"]):
        result = datalab(*words)
        assert isinstance(result.exception, ConnectionError)
        assert "127.0.0.1:9" in str(result.exception)
