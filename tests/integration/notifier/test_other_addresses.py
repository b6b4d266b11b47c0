"""Addresses that are kept elsewhere or open connections of their own: a Slack block of a real Prefect, and Apprise."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from schemas.envelope import Event, new_event
from tests.integration.notifier.conftest import StartNotifier
from tests.integration.notifier.parts import Process, Receiver, alert, publish, until

PLANTED = "planted-in-a-block"
DATASET = "other-addresses"


def make_block(api: str, name: str, url: str) -> None:
    """A block of the type Slack Webhook, as Prefect's page makes it."""
    with httpx.Client(base_url=f"{api}/", timeout=15, trust_env=False) as client:
        kind = client.get("block_types/slug/slack-webhook").raise_for_status().json()["id"]
        wanted = {"block_schemas": {"block_type_id": {"any_": [kind]}}}
        schema = client.post("block_schemas/filter", json=wanted).raise_for_status().json()[0]["id"]
        document = {"name": name, "data": {"url": url}, "block_type_id": kind, "block_schema_id": schema}
        client.post("block_documents/", json=document).raise_for_status()


@pytest.fixture(scope="module")
def block(prefect_api_url: str, inbox: Process) -> str:
    name = f"alerts-{uuid.uuid4().hex[:8]}"
    make_block(prefect_api_url, name, f"{inbox.url}/slack/services/T0/B0/{PLANTED}")
    return name


@pytest.fixture(scope="module")
def notifier(
    start_notifier: StartNotifier, prefect_api_url: str, block: str, receiver: Receiver, tmp_path_factory: Any
) -> Iterator[Process]:
    receiver.script["/apprise"] = [500, 200]
    host = receiver.url.removeprefix("http://")
    receivers = [
        {"name": "block", "channel": "slack", "prefect_block": block},
        {"name": "no-block", "channel": "slack", "prefect_block": "nobody-made-it"},
        {"name": "tail", "channel": "apprise", "url": f"json://{host}/apprise"},
        {"name": "inside", "channel": "apprise", "url": "json://127.0.0.1:9/planted-in-apprise"},
    ]
    # Alerts of other modules come, too, since the group is new.
    ours = {"labels": {"dataset": DATASET}}
    routes = [{"name": "ours", "match": ours, "receivers": [str(one["name"]) for one in receivers]}]
    folder: Path = tmp_path_factory.mktemp("config")
    (folder / "notify.yaml").write_text(yaml.safe_dump({"receivers": receivers, "routes": routes}), "utf-8")
    with start_notifier(DATALAB_CONFIG_DIR=str(folder), PREFECT_API_URL=prefect_api_url) as started:
        yield started


@pytest.fixture(scope="module")
def ended(notifier: Process, kafka_bootstrap: str) -> dict[str, dict[str, Any]]:
    """The deliveries of one alert, by receiver, once all have ended."""
    event: Event = new_event(alert(f"fp-{uuid.uuid4().hex[:8]}", labels={"dataset": DATASET}), source="test/monitor")
    publish(kafka_bootstrap, event)

    def look() -> dict[str, dict[str, Any]]:
        found = notifier.get("/v1/deliveries", event_id=event.id)["deliveries"]
        done = {one["target"]: one for one in found if one["status"] != "pending"}
        return done if len(done) == 4 else {}

    return until(look, seconds=120, what="four deliveries ended")


def test_the_address_in_a_block_of_prefect_gets_the_message(ended: dict[str, Any], inbox: Process) -> None:
    assert ended["block"]["status"] == "delivered"
    [message] = inbox.get("/api/messages", channel="slack", contains=ended["block"]["id"])["messages"]
    assert message["payload"]["blocks"][0]["text"]["text"].startswith("🔴 Error: Quality gate failed")


def test_a_block_that_is_not_there_is_looked_for_again_and_named(ended: dict[str, Any]) -> None:
    gone = ended["no-block"]
    assert (gone["status"], gone["attempts"]) == ("dead", 4)
    assert gone["reason"].endswith("Prefect has no Slack Webhook block named nobody-made-it")


def test_apprise_delivers_and_tries_again(ended: dict[str, Any], receiver: Receiver) -> None:
    assert (ended["tail"]["status"], ended["tail"]["attempts"]) == ("delivered", 2)
    told = json.loads(receiver.at("/apprise")[-1].body)
    assert told["title"].startswith("🔴 Error: Quality gate failed")
    assert "close > 0 & were quarantined" in told["message"]
    assert told["type"] == "failure"


def test_apprise_is_not_led_inside(ended: dict[str, Any]) -> None:
    assert (ended["inside"]["status"], ended["inside"]["attempts"]) == ("dead", 1)
    assert ended["inside"]["reason"].startswith("refused: the address names a host of its own")


def test_neither_address_is_shown(ended: dict[str, Any], notifier: Process, block: str) -> None:
    assert len(ended) == 4
    seen = notifier.log.read_text() + str(notifier.get("/v1/deliveries")) + str(notifier.get("/v1/receivers"))
    assert block in seen
    assert PLANTED not in seen
    assert "planted-in-apprise" not in seen
