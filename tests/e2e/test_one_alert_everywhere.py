"""One alert, from the event that raises it to each channel, and its end after it; each looked at in a real browser.

With NOTIFICATION_SCREENSHOTS set to a folder, the pictures of the messages go there rather than to a temporary one.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.conftest import Lab
from tests.e2e.runs import get, messages, wait_for
from tests.support.browser import Tab, chromium, tab

CHANNELS = ("email", "slack", "teams", "webhook")
REASON = "the warehouse refuses connections"
Message = dict[str, Any]


@pytest.fixture(scope="module")
def browser(told: Callable[[str], dict[str, Message]]) -> Iterator[Browser]:
    """After the story: while a browser is open, its own event loop runs, and no other can be started."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = os.environ.get("NOTIFICATION_SCREENSHOTS")
    return Path(folder) if folder else tmp_path_factory.mktemp("notifications")


@pytest.fixture(scope="module")
def told(lab: Lab) -> Callable[[str], dict[str, Message]]:
    """The messages about the alert by channel, by the type of the event that they tell; all have come."""
    service = f"warehouse-{uuid.uuid4().hex[:4]}"
    since = datetime.now(UTC).isoformat(timespec="seconds")
    check = {"service": service, "check": "connection"}
    lab.must("publish", "lab.service.degraded.v1", "--data", json.dumps({**check, "reason": REASON, "since": since}))
    firing = _told(lab, service, "firing")
    well = {**check, "reason": "it answers again", "since": datetime.now(UTC).isoformat(timespec="seconds")}
    lab.must("publish", "lab.service.recovered.v1", "--data", json.dumps(well))
    told = {"firing": firing, "resolved": _told(lab, service, "resolved")}
    return lambda state: told[state]


def _told(lab: Lab, service: str, state: str) -> dict[str, Message]:
    """Each channel's message, by the alert's deliveries: one each, delivered at the first attempt."""

    def delivered() -> list[dict[str, Any]] | None:
        alerts = get(f"{lab.addresses.monitor}/v1/alerts", rule="resource-unavailable", status=state)["alerts"]
        ours = next((alert for alert in alerts if alert["labels"].get("service") == service), None)
        if ours is None:
            return None
        found = get(f"{lab.addresses.notifier}/v1/deliveries", fingerprint=ours["fingerprint"])["deliveries"]
        ended = [one for one in found if one["kind"] == state and one["status"] == "delivered"]
        return ended if len(ended) == len(CHANNELS) else None

    deliveries = wait_for(delivered, f"{service} is told to be {state}")
    assert {one["attempts"] for one in deliveries} == {1}
    found = {one["channel"]: messages(lab, one["channel"], one["id"]) for one in deliveries}
    assert set(found) == set(CHANNELS)
    assert all(len(each) == 1 and each[0]["refused"] is None for each in found.values()), found
    return {channel: each[0] for channel, each in found.items()}


@pytest.fixture
def opened(browser: Browser, lab: Lab) -> Iterator[Tab]:
    """A new tab. Whatever it showed: nothing went wrong in it, and it called nobody but the inbox."""
    with tab(browser, width=1280, height=1200) as found:
        yield found
    assert found.troubles == []
    assert found.hosts <= {lab.addresses.inbox.removeprefix("http://"), ""}


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("state", ["firing", "resolved"])
def test_each_message_can_be_looked_at(
    told: Callable[[str], dict[str, Message]], opened: Tab, lab: Lab, pictures: Path, state: str, channel: str
) -> None:
    message = told(state)[channel]
    page = opened.page
    page.goto(f"{lab.addresses.inbox}/#{quote(message['id'])}")
    page.get_by_role("heading", name=message["title"], level=2).wait_for()
    shown = _read(page, channel)
    page.locator("#reader").screenshot(path=pictures / f"notification-{channel}-{state}.png")
    assert "is degraded: connection" in shown
    # A program gets the event itself, signed; people get words, a link and the time that it took.
    if channel == "webhook":
        assert "Signature is valid" in shown
        assert f"lab.alert.{state}.v1" in shown
    else:
        assert REASON in shown
        assert ("Resolved after" in shown) is (state == "resolved")


def test_the_end_follows_in_the_same_conversation(told: Callable[[str], dict[str, Message]]) -> None:
    first, second = told("firing")["email"]["mail"], told("resolved")["email"]["mail"]
    assert second["in_reply_to"] == second["references"] == first["message_id"]
    assert second["subject"] == f"Re: {first['subject']}"


def _read(page: Page, channel: str) -> str:
    """The text of the message; a mail's is in a frame."""
    if channel != "email":
        return page.locator("#reader").inner_text()
    return page.frame_locator("#reader iframe").locator("body").inner_text()
