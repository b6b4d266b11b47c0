"""`datalab publish` and `datalab events` against a running ingest, a real broker and real ledgers."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from datalab.runtime.health import Health
from datalab.runtime.web import create_app
from datalab.store.engine import create_engine, create_sessions
from datalab.store.tables.bridge import TriggerRow
from datalab.store.tables.notifier import AlertRow, DeliveryRow
from services.bridge.traces_api import traces_router

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


class Chain:
    """An event, its trigger with a run, an alert and a delivery, as the parts of the lab would note them."""

    def __init__(self, datalab: Datalab, database_url: str) -> None:
        self.root = published(datalab)
        self.trigger, self.run, self.delivery, self.episode = (str(uuid.uuid4()) for _ in range(4))
        self.fingerprint = uuid.uuid4().hex
        asyncio.run(self._note(database_url))

    async def _note(self, database_url: str) -> None:
        engine = create_engine(database_url)
        async with create_sessions(engine).begin() as session:
            session.add(
                TriggerRow(
                    id=self.trigger, rule="rows", event_id=self.root["id"], event_type=self.root["type"],
                    correlation_id=self.root["id"], topic=self.root["topic"], partition=self.root["partition"],
                    offset=self.root["offset"], deployment="flow/deployment", idempotency_key=str(uuid.uuid4()),
                    parameters={}, tags=[], status="created", flow_run_id=self.run, run_state="COMPLETED",
                )
            )  # fmt: skip
            session.add(
                DeliveryRow(
                    id=self.delivery, event_id=self.root["id"], event_type=self.root["type"], channel="slack",
                    correlation_id=self.root["id"], target="team", target_key="team", event={}, status="pending",
                )
            )  # fmt: skip
            session.add(
                AlertRow(
                    episode=self.episode, fingerprint=self.fingerprint, rule="r", severity="error", status="firing",
                    summary="s", labels={}, starts_at=datetime.now(UTC), correlation_id=self.root["id"],
                )
            )  # fmt: skip
        await engine.dispose()


def test_a_trace_joins_kafka_and_the_ledgers(datalab: Datalab, database_url: str) -> None:
    chain = Chain(datalab, database_url)
    root = chain.root
    traced = json.loads(datalab("events", "trace", root["id"], "--json").stdout)
    lines = datalab("events", "trace", root["id"]).stdout.splitlines()

    assert (traced["kind"], traced["correlation"]) == ("event", root["id"])
    assert {node["id"] for node in traced["trace"][0]["children"]} == {chain.trigger, chain.delivery}
    assert [node["flow_run_id"] for node in traced["trace"][0]["children"] if node["kind"] == "run"] == [chain.run]
    assert len(lines) == 3
    assert any(chain.run in line for line in lines[1:])
    assert lines[0].endswith("◀")


async def _over_rest(kafka: str, database_url: str, id_: str) -> httpx.Response:
    engine, app = create_engine(database_url), create_app("bridge", Health())
    app.include_router(traces_router(kafka, create_sessions(engine)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bridge") as rest:
        answer = await rest.get(f"/v1/traces/{id_}")
    await engine.dispose()
    return answer


def test_a_trace_starts_from_any_id_and_rest_tells_the_same(
    datalab: Datalab, database_url: str, kafka_bootstrap: str
) -> None:
    chain = Chain(datalab, database_url)
    for kind, id_, marked in [
        ("trigger", chain.trigger, [f"run {chain.run}"]),
        ("run", chain.run, [f"run {chain.run}"]),
        ("delivery", chain.delivery, ["delivery to slack team"]),
        ("alert", chain.episode, []),
        ("alert", chain.fingerprint, []),
    ]:
        traced = json.loads(datalab("events", "trace", id_, "--json").stdout)
        assert (traced["kind"], traced["correlation"]) == (kind, chain.root["id"])
        assert [node["id"] for node in traced["trace"]] == [chain.root["id"]]
        lines = [line for line in datalab("events", "trace", id_).stdout.splitlines() if line.endswith("◀")]
        assert len(lines) == len(marked)
        assert all(mark in line for mark, line in zip(marked, lines, strict=True))
        assert asyncio.run(_over_rest(kafka_bootstrap, database_url, id_)).json() == traced
    assert asyncio.run(_over_rest(kafka_bootstrap, database_url, "nothing")).status_code == 404


def test_what_no_ledger_knows_is_found_by_the_events_that_speak_of_it(datalab: Datalab) -> None:
    fingerprint = uuid.uuid4().hex
    alert = {"fingerprint": fingerprint, "episode": f"{fingerprint}-1", "rule": "r", "severity": "error",
             "summary": "s", "starts_at": datetime.now(UTC).isoformat()}  # fmt: skip
    result = datalab("publish", "lab.alert.firing.v1", "--data", json.dumps(alert), "--json")
    assert result.exit_code == 0, result.output
    event = json.loads(result.stdout)
    traced = json.loads(datalab("events", "trace", fingerprint, "--json").stdout)
    assert (traced["kind"], [node["id"] for node in traced["trace"]]) == ("alert", [event["id"]])
    assert datalab("events", "trace", f"{fingerprint}-1").stdout.rstrip().endswith("◀")


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        (["publish", "lab.nothing.v1", "--data", "{}"], ValueError, "known types"),
        (["publish", "lab.metric.sampled.v1", "--data", "{}"], ValueError, "data.of"),
        (["events", "show", "nothing"], LookupError, "no event nothing"),
        (["events", "trace", "nothing"], LookupError, "alert or delivery nothing"),
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
