"""`datalab publish` and `datalab events` against a running ingest, a real broker and real ledgers."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from datalab.cli import events, publish
from datalab.store.engine import create_engine, create_sessions
from datalab.store.tables.bridge import TriggerRow
from tests.support.processes import free_port, service, wait_until_ready

DATA = '{"of": "silver.stocks", "name": "rows", "value": 3, "unit": "1"}'
Datalab = Callable[..., Result]


@pytest.fixture(scope="module")
def ingest_url(kafka_bootstrap: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("ingest")
    port, log = free_port(), home / "ingest.log"
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "DATABASE_URL": database_url,
        "DATALAB_HOME": str(home),
        "INGEST_PORT": str(port),
    }
    with service("services.ingest", environ, log) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, log)
        yield url


@pytest.fixture
def datalab(
    ingest_url: str, kafka_bootstrap: str, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Datalab:
    monkeypatch.setenv("DATALAB_HOME", str(tmp_path))
    monkeypatch.setenv("INGEST_URL", ingest_url)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("DATABASE_URL", database_url)
    app = typer.Typer()
    publish.register(app)
    events.register(app)
    return lambda *words: CliRunner().invoke(app, list(words))


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
