"""Bearer tokens with scopes, the note of every change, and that no secret is to be found where anybody looks."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet

from datalab.bus.reader import read_events
from datalab.store.engine import create_engine, create_sessions
from datalab.store.tokens import Tokens
from schemas.envelope import new_event
from tests.integration.notifier.conftest import StartNotifier
from tests.integration.notifier.parts import Process, Receiver, alert, publish, until
from tests.support.dashboard import charts, open_page, tables

SEALING_KEY = Fernet.generate_key().decode()
PLANTED = {
    "smtp password": "planted-smtp-password",
    "Slack's address": "planted-slack-path",
    "Teams' address": "planted-teams-path",
    "signing secret": "cGxhbnRlZC1zaWduaW5nLXNlY3JldC0xMjM0NTY3ODk=",
    "sealing key": SEALING_KEY,
    "a subscription's address": "planted-hook-path",
    "its query": "planted-hook-token",
}

SHOWN = (
    "/v1/deliveries", "/v1/subscriptions", "/v1/alerts", "/v1/audit", "/v1/ledger", "/openapi.json", "/metrics",
    "/readyz?verbose",
)  # fmt: skip


@pytest.fixture(scope="module")
def notifier(start_notifier: StartNotifier, receiver: Receiver) -> Iterator[Process]:
    receiver.script["/echo/planted-slack-path"] = [400]
    receiver.script["/echo/planted-teams-path"] = [500]
    with start_notifier(
        NOTIFIER_REQUIRE_TOKENS="true",
        NOTIFIER_SECRET_KEY=SEALING_KEY,
        SMTP_PASSWORD=PLANTED["smtp password"],
        SMTP_USERNAME="lab",
        SLACK_WEBHOOK_URL=f"{receiver.url}/echo/planted-slack-path",
        TEAMS_WEBHOOK_URL=f"{receiver.url}/echo/planted-teams-path",
        ALERT_WEBHOOK_SECRET=f"whsec_{PLANTED['signing secret']}",
    ) as started:
        yield started


def token(database_url: str, *scopes: str) -> str:
    async def create() -> str:
        engine = create_engine(database_url)
        try:
            return (await Tokens(create_sessions(engine)).create(f"t-{uuid.uuid4().hex[:8]}", scopes, None))[1]
        finally:
            await engine.dispose()

    return asyncio.run(create())


def call(notifier: Process, method: str, path: str, given: str | None, **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {given}"} if given else {}
    return httpx.request(method, notifier.url + path, headers=headers, timeout=60, **more)


def test_each_scope_allows_what_it_says(notifier: Process, database_url: str) -> None:
    reader, writer = token(database_url, "notifier:read"), token(database_url, "notifier:write")
    other = token(database_url, "type:*")
    assert call(notifier, "GET", "/v1/subscriptions", None).status_code == 401
    assert call(notifier, "GET", "/v1/subscriptions", "dlt_nobody-made-this").status_code == 401
    assert call(notifier, "GET", "/v1/subscriptions", reader).status_code == 200
    assert call(notifier, "GET", "/v1/subscriptions", other).status_code == 403
    assert call(notifier, "DELETE", "/v1/subscriptions/absent", reader).status_code == 403
    assert call(notifier, "DELETE", "/v1/subscriptions/absent", writer).status_code == 404
    assert call(notifier, "GET", "/livez", None).status_code == 200


def test_every_change_is_noted_with_its_outcome(notifier: Process, database_url: str, receiver: Receiver) -> None:
    both = token(database_url, "notifier:*")
    body = {"name": "noted", "url": f"{receiver.url}/noted?key=planted-hook-token", "event_types": ["lab.run.*"]}
    assert call(notifier, "POST", "/v1/subscriptions", both, json=body).status_code == 201
    assert (
        call(notifier, "POST", "/v1/subscriptions", both, json={**body, "url": "https://10.0.0.1/"}).status_code == 422
    )
    assert call(notifier, "DELETE", "/v1/subscriptions/noted", both).status_code == 204
    first = call(notifier, "GET", "/v1/audit", both, params={"page_size": 2}).json()
    rest = call(notifier, "GET", "/v1/audit", both, params={"page_token": first["next_page_token"]}).json()
    entries = [(e["action"], e["subject"], e["outcome"]) for e in first["entries"] + rest["entries"]]
    assert entries[:3] == [
        ("DELETE", "/v1/subscriptions/noted", "done"),
        ("POST", "/v1/subscriptions", "422 URL is refused"),
        ("POST", "/v1/subscriptions", "done"),
    ]
    assert first["entries"][0]["who"].startswith("token:t-")


def test_no_planted_secret_is_anywhere(
    notifier: Process, database_url: str, receiver: Receiver, kafka_bootstrap: str
) -> None:
    """Receivers that give everything back that they were sent, with their address, and answers of every kind."""
    both = token(database_url, "notifier:*")
    url = f"{receiver.url}/echo/planted-hook-path?token=planted-hook-token"
    receiver.script["/echo/planted-hook-path"] = [500, 404]
    body = {"name": "planted", "url": url, "event_types": ["lab.alert.*"]}
    secret = call(notifier, "POST", "/v1/subscriptions", both, json=body).json()["secret"]
    event = new_event(alert(f"fp-{uuid.uuid4().hex[:8]}"), source="test/monitor")
    publish(kafka_bootstrap, event)

    def ended() -> list[dict[str, Any]]:
        found = call(notifier, "GET", "/v1/deliveries", both, params={"event_id": event.id}).json()["deliveries"]
        return found if len(found) >= 5 and all(one["status"] != "pending" for one in found) else []

    rows = until(ended, seconds=120, what="all deliveries ended")
    answers = [call(notifier, "GET", f"/v1/deliveries/{row['id']}", both).text for row in rows]
    assert any("***" in answer for answer in answers), "the receivers gave nothing back: this proves nothing"
    answers += [call(notifier, "GET", path, both).text for path in SHOWN]
    for wrong in (
        f"{url}&x=1",
        "http://10.0.0.1/planted-hook-path",
        "ftp://x.example/planted-hook-path",
        "//\\0" + url,
    ):
        answers.append(call(notifier, "POST", "/v1/subscriptions", both, json={**body, "url": wrong}).text)
    reported = until(lambda: of_all(rows, asyncio.run(outcomes(kafka_bootstrap))), what="all outcomes on Kafka")
    seen = "\n".join([notifier.log.read_text(), *answers, reported])
    hidden = {**PLANTED, "the subscription's secret": secret, "the token": both}
    assert [name for name, text in hidden.items() if text in seen] == []


def test_nor_on_the_dashboards_page_about_the_alert(
    notifier: Process, start_notifier: StartNotifier, database_url: str, kafka_bootstrap: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The page with the deliveries of an alert and why they failed, which it asks an instance that needs no token."""
    event = new_event(alert(f"fp-{uuid.uuid4().hex[:8]}"), source="test/monitor")
    publish(kafka_bootstrap, event)
    both = token(database_url, "notifier:*")

    def failed() -> bool:
        found = call(notifier, "GET", "/v1/deliveries", both, params={"event_id": event.id}).json()["deliveries"]
        return len(found) >= 4 and all(one["status"] != "pending" for one in found)

    until(failed, seconds=120, what="all deliveries ended")
    with start_notifier(NOTIFIER_SECRET_KEY=SEALING_KEY) as open_to_all:
        monkeypatch.setenv("NOTIFIER_URL", open_to_all.url)
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
        for name in ("BRIDGE_URL", "MONITOR_URL"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        page = open_page("event-trace", event=event.id)
    shown = f"{page}\n{tables(page)}\n{charts(page)}"
    assert "HTTP 400" in shown, "the page does not show why: this proves nothing"
    assert [name for name, text in PLANTED.items() if text in shown] == []


def of_all(rows: list[dict[str, Any]], reported: str) -> str:
    """What is reported, once it is of all these deliveries."""
    return reported if all(row["id"] in reported for row in rows) else ""


async def outcomes(bootstrap: str) -> str:
    """All that the notifier has said on Kafka."""
    found = [event.data async for _, event in read_events(bootstrap, ["lab.notifications"])]
    return json.dumps(found)
