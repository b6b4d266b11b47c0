"""`notify.yaml` changes while the notifier runs: a right change counts, a faulty one does not; a receiver on Kafka."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from datalab.bus.reader import read_events
from schemas.envelope import Event, new_event
from tests.integration.notifier.conftest import StartNotifier
from tests.integration.notifier.parts import Process, Receiver, alert, publish, until

FILE = """
receivers:
  - {name: bus, channel: kafka, language: pt}
  - {name: hook, channel: webhook, url: "%s/hook"}
routes:
  - {name: all, receivers: %s}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Path:
    folder = tmp_path_factory.mktemp("config")
    (folder / "notify.yaml").write_text(FILE % (receiver.url, "bus"))
    return folder


@pytest.fixture(scope="module")
def notifier(start_notifier: StartNotifier, folder: Path) -> Iterator[Process]:
    with start_notifier(DATALAB_CONFIG_DIR=str(folder)) as started:
        yield started


def fire(bootstrap: str) -> Event:
    event = new_event(alert(f"fp-{uuid.uuid4().hex[:10]}"), source="test")
    publish(bootstrap, event)
    return event


def announced(bootstrap: str, event: Event) -> list[Event]:
    async def found() -> list[Event]:
        topic = read_events(bootstrap, ["lab.notifications"])
        return [e async for _, e in topic if e.type == "lab.notification.announced.v1" and e.causationid == event.id]

    return asyncio.run(found())


def told(notifier: Process, event: Event) -> set[str]:
    found = notifier.get("/v1/deliveries", event_id=event.id, status="delivered")["deliveries"]
    return {one["target"] for one in found}


def test_a_receiver_on_kafka_gets_the_message(notifier: Process, kafka_bootstrap: str) -> None:
    event = fire(kafka_bootstrap)
    [message] = until(lambda: announced(kafka_bootstrap, event), what="the announcement")
    assert message.data["title"].startswith("🔴 Erro: Quality gate failed")
    assert (message.data["reason"], message.data["target"]) == ("firing", "bus")
    [delivery] = notifier.get("/v1/deliveries", event_id=event.id)["deliveries"]
    assert message.id == delivery["id"]


def test_a_change_counts_and_a_faulty_one_is_told(
    notifier: Process, folder: Path, receiver: Receiver, kafka_bootstrap: str
) -> None:
    (folder / "notify.yaml").write_text(FILE % (receiver.url, "[bus, hook]"))
    until(lambda: "config.changed" in notifier.log.read_text(), what="the change")
    event = fire(kafka_bootstrap)

    until(lambda: told(notifier, event) == {"bus", "hook"}, what="both receivers told")
    (folder / "notify.yaml").write_text(FILE % (receiver.url, "[bus, ghost]"))

    def concern() -> str:
        answer = httpx.get(f"{notifier.url}/readyz", params={"verbose": ""}, timeout=60)
        config = answer.json()["checks"]["config"][0]
        # It stays ready all the same; a check that has no answer in time on a busy machine is asked again.
        return str(config["output"]) if config["status"] == "warn" and answer.status_code == 200 else ""

    said = until(concern, what="the concern")
    assert "notify.yaml:6: routes.0.receivers: route all names the unknown receiver ghost" in said
    assert "notifier_config_faulty 1.0" in httpx.get(f"{notifier.url}/metrics", timeout=60).text
    later = fire(kafka_bootstrap)
    until(lambda: told(notifier, later) == {"bus", "hook"}, what="both receivers told, as before")
