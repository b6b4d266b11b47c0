"""`datalab publish`: one event or a file of them, keys, tokens, and errors that say what to do."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from datalab.bus.reader import read_events
from schemas.envelope import Event

from .conftest import Datalab

TYPE = "lab.metric.sampled.v1"


def payload(of: str, value: Any = 1) -> str:
    return json.dumps({"of": of, "name": "rows", "value": value, "unit": "1"})


def stored(bootstrap: str, of: str) -> list[Event]:
    async def read() -> list[Event]:
        return [event async for _, event in read_events(bootstrap, ["lab.metrics"]) if event.data["of"] == of]

    return asyncio.run(read())


@pytest.fixture
def of() -> str:
    return uuid.uuid4().hex


def test_a_key_makes_a_repeat_harmless(datalab: Datalab, kafka_bootstrap: str, of: str) -> None:
    words = ("publish", TYPE, "--data", payload(of), "--idempotency-key", of, "--json")
    answers = [json.loads(datalab(*words).stdout) for _ in range(2)]

    assert answers[0] == answers[1]
    assert [event.id for event in stored(kafka_bootstrap, of)] == [answers[0]["id"]]


def test_a_file_is_published_line_by_line_and_goes_on_under_its_key(
    datalab: Datalab, kafka_bootstrap: str, tmp_path: Path, of: str
) -> None:
    file = tmp_path / "many.jsonl"
    file.write_text("".join(f"{payload(of, number)}\n" for number in range(1200)) + "\n")
    words = ("publish", TYPE, "--data", f"@{file}", "--idempotency-key", of, "--json", "--source", "me")
    answers = [datalab(*words) for _ in range(2)]

    assert [json.loads(answer.stdout) for answer in answers] == [{"accepted": 1200, "refused": 0, "failures": []}] * 2
    events = stored(kafka_bootstrap, of)
    assert [event.data["value"] for event in events] == list(range(1200))
    assert {event.source for event in events} == {"me"}


def test_lines_that_are_refused_are_named_and_the_others_published(
    datalab: Datalab, kafka_bootstrap: str, tmp_path: Path, of: str
) -> None:
    file = tmp_path / "some.jsonl"
    file.write_text(f"{payload(of)}\n{{\n{payload(of, 'much')}\n{payload(of, 2)}\n")
    answer = datalab("publish", TYPE, "--data", f"@{file}")

    assert answer.exit_code == 1
    assert "2 published, 2 refused" in answer.stdout
    assert f"{file}:2: is not JSON" in answer.stderr
    assert f"{file}:3: data.value" in answer.stderr
    assert len(stored(kafka_bootstrap, of)) == 2


def test_a_file_that_is_not_there_or_has_one_id_is_an_error(datalab: Datalab, tmp_path: Path) -> None:
    missing = datalab("publish", TYPE, "--data", f"@{tmp_path}/none.jsonl")
    assert isinstance(missing.exception, ValueError)
    assert "cannot be read" in str(missing.exception)
    assert "--id" in str(datalab("publish", TYPE, "--data", "@x.jsonl", "--id", "e1").exception)


def test_tokens_are_made_used_listed_and_revoked(datalab: Datalab, monkeypatch: pytest.MonkeyPatch, of: str) -> None:
    name = f"t-{of[:8]}"
    made = datalab("tokens", "create", name, "--scope", "type:lab.metric.*", "--expires", "1d")
    assert made.exit_code == 0, made.output
    monkeypatch.setenv("DATALAB_TOKEN", made.stdout.strip())
    assert datalab("publish", TYPE, "--data", payload(of)).exit_code == 0
    refused = datalab("publish", "lab.run.started.v1", "--data", "{}")
    assert "ingest refused the event (4" in str(refused.exception)

    (row,) = [row for row in json.loads(datalab("tokens", "list", "--json").stdout) if row["name"] == name]
    assert (row["state"], row["scopes"]) == ("valid", ["type:lab.metric.*"])
    assert made.stdout.strip() not in json.dumps(row)
    assert datalab("tokens", "revoke", name).exit_code == 0
    assert name in datalab("tokens", "list").stdout
    (row,) = [row for row in json.loads(datalab("tokens", "list", "--json").stdout) if row["name"] == name]
    assert row["state"] == "revoked"
    monkeypatch.setenv("DATALAB_TOKEN", "dlt_nobody-made-this")
    unknown = datalab("publish", TYPE, "--data", payload(of))
    assert "DATALAB_TOKEN" in str(unknown.exception)
    assert "dlt_nobody" not in str(unknown.exception)


@pytest.mark.parametrize("expires", ["yesterday", "2020-01-01", "5m"])
def test_a_token_expires_at_a_time_to_come(datalab: Datalab, expires: str) -> None:
    assert "--expires" in str(datalab("tokens", "create", "x", "--expires", expires).exception)


def test_users_types_are_published_and_tailed(datalab: Datalab, ingest_url: str, of: str) -> None:
    type_ = f"cli.t{of[:8]}"
    httpx.put(
        f"{ingest_url}/v1/schemas/{type_}", json={"type": "object"}, trust_env=False, timeout=60
    ).raise_for_status()
    sent = datalab("publish", type_, "--data", '{"a": 1}', "--subject", "s", "--json")
    assert sent.exit_code == 0, sent.output
    tailed = datalab("events", "tail", "--from", "beginning", "--no-follow", "--topic", f"lab.events.{type_}", "--json")
    assert json.loads(tailed.stdout)["event"]["id"] == json.loads(sent.stdout)["id"]
    assert json.loads(datalab("events", "show", json.loads(sent.stdout)["id"]).stdout)["event"]["type"] == type_
