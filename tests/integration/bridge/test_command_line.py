"""`datalab rules` and `datalab dlq` against real Kafka and Postgres."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from datalab.bus.deadletters import KafkaDeadLetters
from datalab.bus.faults import Fault
from datalab.bus.publisher import Publisher, RecordRef
from datalab.bus.reader import read_events
from datalab.cli import dlq, rules
from datalab.runtime.serving import serve
from schemas.codec import EncodedRecord, encode
from schemas.envelope import Event
from tests.integration.bridge.conftest import Bridges, PrefectLab, file_arrived, file_rule
from tests.support import command_line
from tests.support.polling import eventually
from tests.support.processes import free_port


@pytest.fixture
def in_lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kafka_bootstrap: str, database_url: str) -> None:
    """The command line finds the test's parts; there is no bridge."""
    values = {
        "DATALAB_HOME": str(tmp_path),
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "DATABASE_URL": database_url,
        "BRIDGE_URL": "http://127.0.0.1:1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def datalab(*arguments: str) -> Result:
    app = typer.Typer()
    rules.register(app)
    dlq.register(app)
    return CliRunner().invoke(app, arguments)


async def bury(bootstrap: str, event: Event, group: str, **more: Any) -> None:
    async with Publisher(bootstrap, "test") as publisher:
        fault = Fault(group, "it is the test's fault", **more)
        await KafkaDeadLetters(publisher).bury(RecordRef("lab.files", 0, 3), fault, encode(event))


async def copies(bootstrap: str, event: Event) -> int:
    return len([1 async for _, found in read_events(bootstrap, ["lab.files"]) if found.id == event.id])


@pytest.mark.usefixtures("in_lab")
def test_dead_letters_are_listed_shown_and_replayed_once(kafka_bootstrap: str) -> None:
    event, group = file_arrived("some-files", "ação.csv"), f"g{uuid.uuid4().hex[:8]}"
    asyncio.run(bury(kafka_bootstrap, event, group))
    (line,) = datalab("dlq", "list", "--group", group, "--json").stdout.splitlines()
    letter = json.loads(line)
    assert (letter["event_id"], letter["topic"], letter["offset"]) == (event.id, "lab.files", 3)
    assert letter["reason"] == "it is the test's fault"
    assert letter["reason"] in datalab("dlq", "list", "--group", group).stdout

    shown = json.loads(datalab("dlq", "show", letter["id"]).stdout)
    assert json.loads(shown["record"]["value"])["name"] == "ação.csv"

    assert "would go to lab.files" in datalab("dlq", "replay", letter["id"], "--dry-run").stdout
    assert asyncio.run(copies(kafka_bootstrap, event)) == 0
    assert "replayed to lab.files[" in datalab("dlq", "replay", letter["id"]).stdout
    assert "was replayed before" in datalab("dlq", "replay", "--all", "--group", group).stdout
    assert asyncio.run(copies(kafka_bootstrap, event)) == 1


@pytest.mark.usefixtures("in_lab")
def test_dead_letters_are_chosen_and_replayed_no_faster_than_asked(kafka_bootstrap: str) -> None:
    events, group = [file_arrived("some-files") for _ in range(4)], f"g{uuid.uuid4().hex[:8]}"
    for event in events[:3]:
        asyncio.run(bury(kafka_bootstrap, event, group, error_class="PrefectRefusedError", subjects=("mine",)))
    asyncio.run(bury(kafka_bootstrap, events[3], group, error_class="ValueError"))

    listed = datalab("dlq", "list", "--group", group, "--rule", "mine", "--error", "prefectrefused", "--json")
    assert [json.loads(line)["event_id"] for line in listed.stdout.splitlines()] == [event.id for event in events[:3]]
    assert "no such dead letters" in datalab("dlq", "list", "--group", group, "--until", "1h").output
    assert "--since: 'soon' is neither" in str(datalab("dlq", "list", "--since", "soon").exception)

    before = time.monotonic()
    replayed = datalab("dlq", "replay", "--group", group, "--rule", "mine", "--since", "1h", "--rate", "4", "--json")
    assert time.monotonic() - before >= 0.5, "three, four a second, are two waits of a quarter"
    outcomes = [json.loads(line) for line in replayed.stdout.splitlines()]
    assert [(one["event_id"], one["outcome"]) for one in outcomes] == [(e.id, "replayed") for e in events[:3]]

    async def marks() -> list[bool]:
        ours = [found async for _, found in read_events(kafka_bootstrap, ["lab.files"]) if found.id == events[0].id]
        return ["replayof" in found.extensions for found in ours]

    assert asyncio.run(marks()) == [True]
    assert asyncio.run(copies(kafka_bootstrap, events[3])) == 0
    assert "was replayed before to lab.files[" in datalab("dlq", "replay", outcomes[0]["id"], "--dry-run").stdout


@pytest.mark.usefixtures("in_lab")
def test_a_record_that_was_too_large_is_refused_with_the_reason(kafka_bootstrap: str) -> None:
    event, group = file_arrived("some-files"), f"g{uuid.uuid4().hex[:8]}"
    key, _, headers = encode(event)

    async def bury_large() -> None:
        async with Publisher(kafka_bootstrap, "test") as publisher:
            record = EncodedRecord(key, b"x" * 3_000_000, headers)
            await KafkaDeadLetters(publisher).bury(RecordRef("lab.files", 0, 3), Fault(group, "too large"), record)

    asyncio.run(bury_large())
    said = datalab("dlq", "replay", "--event", event.id)
    assert said.exit_code == 1
    assert "cannot be replayed: its 3000000 bytes were too large" in said.stdout
    assert asyncio.run(copies(kafka_bootstrap, event)) == 0


@pytest.mark.usefixtures("in_lab")
def test_replay_wants_to_know_what() -> None:
    assert datalab("dlq", "replay").exit_code == 2
    missing = datalab("dlq", "show", "9-999")
    assert isinstance(missing.exception, LookupError)
    assert "there is no dead letter 9-999" in str(missing.exception)


@pytest.mark.usefixtures("in_lab")
def test_rules_are_checked_and_explained(kafka_bootstrap: str) -> None:
    assert "rules are right" in datalab("rules", "check").stdout
    assert "stocks-file-arrived" in datalab("rules", "list").stdout

    async def publish(event: Event) -> None:
        async with Publisher(kafka_bootstrap, "test") as publisher:
            await publisher.publish(event)

    event = file_arrived("no-such-dataset")
    asyncio.run(publish(event))
    said = datalab("rules", "explain", event.id)
    assert "stocks-file-arrived: condition  event.data.dataset == 'stocks' is false" in said.stdout
    explained = json.loads(datalab("rules", "explain", event.id, "--json").stdout)
    assert explained["rules"][0]["outcome"] == "condition"
    parts = {found["rule"]: found["conditions"] for found in explained["rules"]}["stocks-file-arrived"]
    assert [(part["part"], part["verdict"]) for part in parts] == [
        ("on: lab.file.arrived.v1", "holds"),
        ("event.data.dataset == 'stocks'", "false"),
    ]
    assert parts[1]["values"] == {"event.data.dataset": "no-such-dataset"}
    only = datalab("rules", "explain", event.id, "--rule", "stocks-file-arrived")
    assert "✗ event.data.dataset == 'stocks'  event.data.dataset = \"no-such-dataset\"" in only.stdout
    assert "eventos" not in only.stdout
    assert isinstance(datalab("rules", "explain", event.id, "--rule", "nosuch").exception, LookupError)
    assert explained["triggers"] is None
    assert isinstance(datalab("rules", "explain", "nosuch").exception, LookupError)


def _rule(where: str) -> str:
    run = '{deployment: medallion-etl/daily, parameters: {source_path: "{{ event.data.uri }}"}}'
    return f"name: files\non: [lab.file.arrived.v1]\nwhere: {where}\nrun: {run}\n"


@pytest.mark.usefixtures("in_lab")
def test_a_rule_is_tried_on_the_events_that_are_there(kafka_bootstrap: str, tmp_path: Path) -> None:
    dataset = f"d{uuid.uuid4().hex[:8]}"
    events = [file_arrived(dataset, name) for name in ("a.csv", "b.csv", "c.csv")]

    async def publish() -> None:
        async with Publisher(kafka_bootstrap, "test") as publisher:
            for event in [*events, events[0]]:
                await publisher.publish(event)

    asyncio.run(publish())
    in_force, draft = tmp_path / "in-force", tmp_path / "draft.yaml"
    in_force.mkdir()
    of_ours = f"event.data.dataset == '{dataset}'"
    (in_force / "files.yaml").write_text(_rule(f"{of_ours} && event.data.name != 'c.csv'"))
    draft.write_text(_rule(f"{of_ours} && event.data.name != 'a.csv'"))

    tried = datalab("rules", "test", str(draft), "--dir", str(in_force), "--from", "1h", "--json")
    assert tried.exit_code == 0, tried.output
    (result,) = json.loads(tried.stdout)
    assert {found["event_id"]: found["change"] for found in result["findings"]} == {
        events[0].id: "gone",
        events[1].id: "same",
        events[2].id: "new",
    }
    assert result["would_start"] == 2
    told = datalab("rules", "test", str(draft), "--dir", str(in_force), "--changes").stdout
    assert "files: 2 runs out of" in told
    assert f"{events[2].id}  medallion-etl/daily" in told
    assert events[1].id not in told

    draft.write_text(_rule(f"{of_ours} && event.data.size_bytes > 'x'"))
    assert datalab("rules", "test", str(draft), "--dir", str(in_force)).exit_code == 1
    draft.write_text(_rule("event.data.("))
    assert "draft.yaml:3: where:" in str(datalab("rules", "test", str(draft)).exception)


async def test_a_rule_is_paused_and_resumed_from_the_command_line(
    bridges: Bridges, prefect: PrefectLab, dataset: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await prefect.deploy(f"{dataset}/load")
    port, stop = free_port(), asyncio.Event()
    monkeypatch.setenv("BRIDGE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("DATALAB_HOME", str(tmp_path))
    folder = str(tmp_path / "rules")
    async with bridges.running(file_rule(dataset)) as bridge:
        serving = asyncio.create_task(serve(bridge.app, "127.0.0.1", port, stop))
        listed = await eventually(
            lambda: command_line.datalab("rules", "list", "--json", "--dir", folder),
            until=lambda answer: json.loads(answer.stdout)[0]["in_force"] is not None,
        )
        assert json.loads(listed.stdout)[0]["in_force"]["paused"] is None
        said = [
            (await command_line.datalab("rules", *command)).stdout.splitlines()
            for command in (("pause", "files", "--reason", "tests"), ("pause", "files"), ("list", "--dir", folder),
                            ("resume", "files"), ("resume", "files"))
        ]  # fmt: skip
        assert said[:2] == [["files is paused."], ["files was paused already: tests"]]
        assert said[2][-1].startswith("  PAUSED since ")
        assert said[3:] == [["files goes on."], ["files was not paused."]]
        unknown = await command_line.datalab("rules", "resume", "nosuch")
        assert unknown.returncode == 1
        assert "rule 'nosuch' is not in force" in unknown.stderr
        stop.set()
        await serving
