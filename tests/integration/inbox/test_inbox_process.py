"""The inbox as a process: receives, shows, forgets nothing when it is killed, and disarms what it shows."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest

from tests.integration.notifier.parts import Process, process
from tests.support.processes import free_port

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_port(), free_port()


def start(home: Path, ports: tuple[int, int]) -> AbstractContextManager[Process]:
    env = {"DATALAB_HOME": str(home), "INBOX_HTTP_PORT": str(ports[0]), "INBOX_SMTP_PORT": str(ports[1])}
    return process("datalab.local.inbox", ports[0], env, home / "inbox.log")


@pytest.fixture
def inbox(tmp_path: Path, ports: tuple[int, int]) -> Iterator[Process]:
    with start(tmp_path, ports) as started:
        yield started


def send_mail(port: int, html: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@x.example", "b@x.example", f"Olá {SCRIPT}"
    mail.set_content("text")
    mail.add_alternative(html, subtype="html")
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as smtp:
        smtp.send_message(mail)


def test_it_receives_and_survives_a_kill(tmp_path: Path, ports: tuple[int, int], inbox: Process) -> None:
    send_mail(ports[1], f"<p>{SCRIPT}</p>")
    assert httpx.post(f"{inbox.url}/slack/services/T/B/x", json={"text": "hi"}, timeout=60).text == "ok"
    assert httpx.post(f"{inbox.url}/slack/services/T/B/x", json={}, timeout=60).status_code == 400
    assert httpx.post(f"{inbox.url}/teams/x", content=b"x" * 28_673, timeout=60).status_code == 413
    assert httpx.post(f"{inbox.url}/webhooks/demo", json={"type": "a.b"}, timeout=60).status_code == 204
    inbox.kill()
    with start(tmp_path, ports) as again:
        found = again.get("/api/messages")["messages"]
        assert [m["channel"] for m in found] == ["webhook", "teams", "slack", "slack", "email"]
        assert [bool(m["refused"]) for m in found] == [False, True, True, False, False]
        assert found[0]["verified"] == "unknown"
        assert len(again.get("/api/messages", contains="olá")["messages"]) == 1
        assert len(again.get("/api/messages", since=found[1]["received_at"])["messages"]) == 2
        first = again.get("/api/messages", page_size=3)
        rest = again.get("/api/messages", page_size=3, page_token=first["next_page_token"])
        assert [m["id"] for m in first["messages"] + rest["messages"]] == [m["id"] for m in found]
        assert rest["next_page_token"] is None


def test_what_it_shows_is_disarmed(ports: tuple[int, int], inbox: Process) -> None:
    send_mail(ports[1], f"<p>{SCRIPT}</p>")
    message_id = inbox.get("/api/messages")["messages"][0]["id"]
    frame = httpx.get(f"{inbox.url}/api/messages/{message_id}/html", timeout=60)
    policy = frame.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert policy.endswith("sandbox")
    page = httpx.get(inbox.url, timeout=60)
    assert "default-src 'none'; script-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "http://" not in page.text.replace("http://www.w3.org/", "")
    for asset in ("inbox.js", "inbox.css"):
        answer = httpx.get(f"{inbox.url}/assets/{asset}", timeout=60)
        assert answer.status_code == 200
        assert "innerHTML" not in answer.text
    assert httpx.get(f"{inbox.url}/assets/..%2fapp.py", timeout=60).status_code == 404


def test_a_secret_makes_webhooks_verifiable(inbox: Process) -> None:
    put = f"{inbox.url}/api/webhooks/demo/secret"
    assert httpx.put(put, json={"secret": "whsec_" + "QUFB" * 11}, timeout=60).status_code == 204
    refused = httpx.put(put, json={"secret": "whsec_planted!"}, timeout=60)
    assert refused.status_code == 422
    assert "planted" not in refused.text
    httpx.post(f"{inbox.url}/webhooks/demo", json={}, timeout=60)
    assert inbox.get("/api/messages")["messages"][0]["verified"] == "false"
    assert "QUFBQUFB" not in inbox.log.read_text()


def test_ready_means_that_mail_is_taken_too(inbox: Process) -> None:
    checks = inbox.get("/readyz", verbose="")["checks"]
    assert checks["smtp"][0]["status"] == "pass"
    assert httpx.delete(f"{inbox.url}/api/messages", timeout=60).json() == {"removed": 0}
