"""The inbox judges payloads as the real receivers do, keeps messages, and reads mail of any shape."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from datalab.local.inbox.keyring import Keyring
from datalab.local.inbox.mail import read_mail
from datalab.local.inbox.messages import MessageBox
from datalab.local.inbox.shapes import slack_fault, teams_fault

SECRET = "whsec_" + "QUFB" * 11
SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "x"}}


def card(**more: Any) -> dict[str, Any]:
    content = {"type": "AdaptiveCard", "version": "1.4", "body": [{"type": "TextBlock", "text": "x"}], **more}
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": content}],
    }


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        ({"text": "hello"}, None),
        ({"blocks": [SECTION]}, None),
        (None, "invalid_payload"),
        ([], "invalid_payload"),
        ({}, "no_text"),
        ({"text": ""}, "no_text"),
        ({"blocks": [SECTION] * 50}, None),
        ({"blocks": [SECTION] * 51}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}}]}, None),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": ""}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}]}, "invalid_blocks"),
        ({"blocks": [{"type": "actions", "elements": []}]}, "invalid_blocks"),
        ({"blocks": [{"type": "blink"}]}, "invalid_blocks"),
        ({"blocks": ["x"]}, "invalid_blocks"),
    ],
)
def test_slack(payload: Any, fault: str | None) -> None:
    found = slack_fault(payload)
    assert (found is None) == (fault is None)
    assert (found or "").startswith(fault or "")


@pytest.mark.parametrize(
    ("payload", "accepted"),
    [
        (card(), True),
        (card(body=[]), False),
        (card(type="Card"), False),
        (card(version=""), False),
        ({"text": "the retired connector's form"}, False),
        ({"type": "message", "attachments": []}, False),
        ({"type": "message", "attachments": [{"contentType": "text/html", "content": "x"}]}, False),
        (None, False),
    ],
)
def test_teams(payload: Any, accepted: bool) -> None:
    assert (teams_fault(payload) is None) is accepted


def test_messages_survive_a_restart_and_the_oldest_go(tmp_path: Path) -> None:
    box = MessageBox(tmp_path, keep=3)
    for number in range(5):
        box.add("webhook", f"message {number}")
    again = MessageBox(tmp_path, keep=3)
    assert [m.title for m in again.newest_first()] == ["message 4", "message 3", "message 2"]
    (tmp_path / "0000-broken.json").write_text("{half a mess")
    assert len(MessageBox(tmp_path, keep=3)) == 3
    assert again.clear() == 3
    assert len(MessageBox(tmp_path, keep=3)) == 0


def test_search_finds_what_a_reader_sees(tmp_path: Path) -> None:
    content = (
        b"Subject: =?utf-8?b?QWxlcnRhIGNyw610aWNv?=\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nUHJlw6dvIG5lZ2F0aXZv\r\n"
    )
    mail = read_mail(content, "a@x.example", ["b@x.example"])
    message = MessageBox(tmp_path, 9).add("email", mail.subject, mail=mail)
    assert message.mentions("CRÍTICO")
    assert message.mentions("preço negativo")
    assert not message.mentions("positivo")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no headers at all",
        b"Content-Type: text/html; charset=klingon\r\n\r\n<p>x",
        b"Content-Type: multipart/mixed\r\n\r\n--",
        b"Subject: \xff\xfe\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!",
        bytes(range(256)),
    ],
)
def test_broken_mail_is_kept_not_refused(content: bytes) -> None:
    assert read_mail(content, "a@x.example", ["b@x.example"]).recipients == ["b@x.example"]


def test_webhooks_are_verified_by_name(tmp_path: Path) -> None:
    now, body = datetime.now(UTC), b'{"a":1}'
    headers = {
        "webhook-id": "id-1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("id-1", now, body.decode()),
    }
    keyring = Keyring(tmp_path / "secrets.json", {"alerts": SECRET})
    assert keyring.verify("alerts", body, headers) == "true"
    assert keyring.verify("alerts", body + b" ", headers) == "false"
    assert keyring.verify("alerts", b"\xff", headers) == "false"
    assert keyring.verify("alerts", body, {}) == "false"
    assert keyring.verify("demo", body, headers) == "unknown"


def test_registered_secrets_are_kept_for_the_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    Keyring(file, {}).register("demo", SECRET)
    assert file.stat().st_mode & 0o777 == 0o600
    assert Keyring(file, {"demo": "whsec_b3RoZXI="}).verify("demo", b"", {}) == "false"
    for secret in ("whsec_!", "whsec_planted!", "whsec_", "QUFB"):
        with pytest.raises(ValueError, match="base64"):
            Keyring(file, {}).register("demo", secret)
