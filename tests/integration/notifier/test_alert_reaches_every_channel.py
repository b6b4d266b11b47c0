"""One alert event ends as a mail, a Slack message, a Teams card and a signed webhook; its resolution follows it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page

from datalab.bus.reader import read_events
from schemas.envelope import Event, new_event
from tests.integration.notifier.conftest import StartNotifier
from tests.integration.notifier.parts import Process, alert, publish, until
from tests.support.browser import chromium, tab

CHANNELS = {"email", "slack", "teams", "webhook"}


@pytest.fixture(scope="module")
def notifier(start_notifier: StartNotifier) -> Iterator[Process]:
    with start_notifier() as started:
        yield started


@pytest.fixture(scope="module")
def fingerprint() -> str:
    return f"fp-{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="module")
def firing(fingerprint: str, kafka_bootstrap: str, notifier: Process) -> Event:
    event = new_event(alert(fingerprint), source="test/monitor", correlationid="chain-1")
    publish(kafka_bootstrap, event, event)  # the broker may hold an event twice
    return event


@pytest.fixture(scope="module")
def resolved(fingerprint: str, firing: Event, kafka_bootstrap: str) -> Event:
    event = new_event(alert(fingerprint, resolved=True), source="test/monitor", correlationid="chain-1")
    publish(kafka_bootstrap, event)
    return event


def deliveries(notifier: Process, event: Event) -> list[dict[str, Any]]:
    """The deliveries of the event once none is pending any more."""

    def finished() -> list[dict[str, Any]]:
        found = notifier.get("/v1/deliveries", event_id=event.id)["deliveries"]
        return found if len(found) >= 4 and all(d["status"] != "pending" for d in found) else []

    return until(finished, what="deliveries finished")


def message(inbox: Process, channel: str, delivery: dict[str, Any]) -> dict[str, Any]:
    found = inbox.get("/api/messages", channel=channel, contains=delivery["id"])["messages"]
    assert len(found) == 1, f"{channel} must have arrived once, came {len(found)} times"
    assert found[0]["refused"] is None
    return dict(found[0])


def by_channel(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {delivery["channel"]: delivery for delivery in found}


def test_the_same_event_twice_is_one_delivery_per_channel(notifier: Process, firing: Event) -> None:
    found = deliveries(notifier, firing)
    assert sorted(d["channel"] for d in found) == sorted(CHANNELS)
    assert {d["status"] for d in found} == {"delivered"}
    assert {d["correlation_id"] for d in found} == {"chain-1"}


def test_slack_shows_the_alert_escaped(notifier: Process, inbox: Process, firing: Event, fingerprint: str) -> None:
    slack = message(inbox, "slack", by_channel(deliveries(notifier, firing))["slack"])
    blocks = slack["payload"]["blocks"]
    assert blocks[0]["text"]["text"] == f"🔴 Error: Quality gate failed for stocks <{fingerprint}>"
    assert "close &gt; 0 &amp; were quarantined" in slack["body"]
    assert f"&lt;{fingerprint}&gt;" in slack["payload"]["text"]


def test_teams_gets_an_adaptive_card(notifier: Process, inbox: Process, firing: Event) -> None:
    teams = message(inbox, "teams", by_channel(deliveries(notifier, firing))["teams"])
    card = teams["payload"]["attachments"][0]["content"]
    assert card["body"][0]["style"] == "attention"
    assert card["actions"][0]["url"] == "http://127.0.0.1:4200/runs/flow-run/1"
    assert {"title": "dataset", "value": "stocks"} in card["body"][2]["facts"]


def test_webhook_carries_the_event_and_verifies(notifier: Process, inbox: Process, firing: Event) -> None:
    delivery = by_channel(deliveries(notifier, firing))["webhook"]
    webhook = message(inbox, "webhook", delivery)
    assert webhook["verified"] == "true"
    assert webhook["headers"]["webhook-id"] == delivery["id"]
    assert webhook["payload"]["id"] == firing.id
    assert webhook["payload"]["specversion"] == "1.0"
    assert webhook["payload"]["data"] == firing.data


def test_resolution_joins_the_conversation(notifier: Process, inbox: Process, firing: Event, resolved: Event) -> None:
    first = message(inbox, "email", by_channel(deliveries(notifier, firing))["email"])["mail"]
    second = message(inbox, "email", by_channel(deliveries(notifier, resolved))["email"])["mail"]
    assert second["in_reply_to"] == second["references"] == first["message_id"]
    assert second["message_id"] != first["message_id"]
    assert second["subject"] == f"Re: {first['subject']}"
    assert "&lt;fp-" in first["html"]
    assert "Resolved after 14 min 05 s." in second["text"]
    teams = message(inbox, "teams", by_channel(deliveries(notifier, resolved))["teams"])
    assert teams["payload"]["attachments"][0]["content"]["body"][0]["style"] == "good"


def test_outcomes_are_events_once(notifier: Process, firing: Event, resolved: Event, kafka_bootstrap: str) -> None:
    import asyncio

    wanted = {d["id"] for event in (firing, resolved) for d in deliveries(notifier, event)}

    async def reported() -> list[Event]:
        return [
            e
            async for _, e in read_events(kafka_bootstrap, ["lab.notifications"])
            if e.data.get("delivery_id") in wanted
        ]

    def complete() -> list[Event]:
        found = asyncio.run(reported())
        return found if len(found) >= len(wanted) else []

    events = until(complete, what="outcome events")
    assert sorted(e.data["delivery_id"] for e in events) == sorted(wanted)
    assert {e.type for e in events} == {"lab.notification.delivered.v1"}
    assert {e.correlationid for e in events} == {"chain-1"}


def test_the_books_and_the_alert_show_it(notifier: Process, firing: Event, resolved: Event, fingerprint: str) -> None:
    deliveries(notifier, resolved)
    ledger = notifier.get("/v1/ledger")
    assert ledger["balanced"]
    assert ledger["due"] == ledger["delivered"] + ledger["pending"] + ledger["suppressed"] + ledger["dead"]
    shown = [a for a in notifier.get("/v1/alerts")["alerts"] if a["fingerprint"] == fingerprint]
    assert [(a["status"], a["firing_event_id"], a["resolved_event_id"]) for a in shown] == [
        ("resolved", firing.id, resolved.id)
    ]
    assert shown[0]["deliveries"]["delivered"] == 8


def test_no_secret_is_in_logs_or_answers(notifier: Process, firing: Event, resolved: Event) -> None:
    deliveries(notifier, resolved)
    seen = notifier.log.read_text() + str(notifier.get("/v1/deliveries")) + str(notifier.get("/v1/subscriptions"))
    for secret in ("planted-slack-secret", "planted-teams-secret", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"):
        assert secret not in seen


def test_each_can_be_looked_at_and_so_can_its_end(
    notifier: Process, inbox: Process, firing: Event, resolved: Event, tmp_path: Path
) -> None:
    """What a reader of the inbox sees of each message, and that nothing on the page went wrong."""
    shown: dict[tuple[str, str], str] = {}
    with chromium() as browser, tab(browser) as seen:
        for state, event in (("firing", firing), ("resolved", resolved)):
            for channel, delivery in by_channel(deliveries(notifier, event)).items():
                found = message(inbox, channel, delivery)
                seen.page.goto(f"{inbox.url}/#{quote(found['id'])}")
                seen.page.get_by_role("heading", name=found["title"], level=2).wait_for()
                picture = seen.page.screenshot(path=tmp_path / f"{channel}-{state}.png")
                assert len(picture) > 20_000, "an empty page is smaller"
                shown[channel, state] = _read(seen.page, channel)
    assert seen.troubles == []
    for channel in CHANNELS:
        assert "Quality gate failed for stocks" in shown[channel, "firing"]
        assert "Quality gate failed for stocks" in shown[channel, "resolved"]
    for channel in CHANNELS - {"webhook"}:
        assert "Resolved after 14 min 05 s" in shown[channel, "resolved"]
    assert "Signature is valid" in shown["webhook", "resolved"]


def _read(page: Page, channel: str) -> str:
    """The text of the message; a mail's is in a frame."""
    if channel != "email":
        return page.locator("#reader").inner_text()
    return page.frame_locator("#reader iframe").locator("body").inner_text()
