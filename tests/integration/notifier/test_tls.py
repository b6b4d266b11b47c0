"""Encrypted ways: webhooks by https, mail by STARTTLS and TLS with a login; whom the notifier trusts, and whom not."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from datalab.runtime.clock import SystemClock
from schemas.envelope import new_event
from services.notifier.channels.email import EmailChannel, MailServer
from services.notifier.delivery import Delivery, Result, Target
from services.notifier.messages import Phrasebook
from tests.integration.notifier.parts import alert
from tests.support.certificates import Authority

Way = Literal["starttls", "tls", "none"]
PASSWORD = "planted-smtp-password"
# In a process of its own: what is trusted is read when the client's library is imported.
CALL = """
import asyncio, sys
from datalab.runtime.clock import SystemClock
from services.notifier.guard import Guard
from services.notifier.outgoing import Outgoing

async def call(url, allowed):
    async with Outgoing(Guard({allowed}), SystemClock()) as outgoing:
        result = await outgoing.post(url, b"{}", {})
        print(result.delivered, result.reason)

asyncio.run(call(*sys.argv[1:]))
"""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@dataclass
class Seen:
    """Of a server: names that clients asked for by SNI, and the heads of requests."""

    port: int = 0
    names: list[str | None] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def https(context: ssl.SSLContext) -> AsyncIterator[Seen]:
    seen = Seen()
    context.sni_callback = lambda _socket, name, _context: seen.names.append(name)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()


async def post(seen: Seen, trusted: Path | None) -> str:
    environ = {**os.environ, "SSL_CERT_FILE": str(trusted)} if trusted else dict(os.environ)
    command = [sys.executable, "-c", CALL, f"https://localhost:{seen.port}/hook", f"localhost:{seen.port}"]
    done = await asyncio.to_thread(
        subprocess.run, command, env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


async def test_a_checked_address_is_called_under_its_name_with_a_certificate_for_it(authority: Authority) -> None:
    async with https(authority.server("localhost")) as seen:
        assert await post(seen, authority.file) == "True None"
    assert seen.names == ["localhost"]
    assert f"Host: localhost:{seen.port}".encode() in seen.heads[0]


@pytest.mark.parametrize("fault", ["another name", "nobody trusts it"])
async def test_a_certificate_that_does_not_fit_is_refused(authority: Authority, fault: str) -> None:
    name = "elsewhere.example" if fault == "another name" else "localhost"
    async with https(authority.server(name)) as seen:
        answer = await post(seen, authority.file if fault == "another name" else None)
    assert answer.startswith("False connection failed: TLS: ClientConnectorCertificateError")
    assert seen.heads == []


class Mails:
    """What a mail server took; it knows one login."""

    def __init__(self) -> None:
        self.logins: list[Any] = []
        self.taken: list[tuple[bytes, bool]] = []  # the message, and whether it came encrypted

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.taken.append((envelope.content, server.transport.get_extra_info("ssl_object") is not None))
        return "250 taken"

    def login(self, _server: Any, _session: Any, _envelope: Any, _way: str, given: Any) -> AuthResult:
        self.logins.append(given)
        return AuthResult(success=given == LoginPassword(b"lab", PASSWORD.encode()), handled=False)


@asynccontextmanager
async def mail_server(context: ssl.SSLContext | None, way: Way) -> AsyncIterator[tuple[Mails, int]]:
    mails = Mails()

    def protocol() -> SMTP:
        return SMTP(
            mails,
            hostname="mail.example",
            authenticator=mails.login,
            auth_required=True,
            auth_require_tls=way == "starttls",  # to aiosmtpd only STARTTLS counts
            tls_context=context if way == "starttls" else None,
            require_starttls=way == "starttls",
        )

    encrypted = context if way == "tls" else None
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=encrypted)
    try:
        yield mails, server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def send(port: int, way: Way, password: str = PASSWORD) -> Result:
    server = MailServer("localhost", port, "Lab <alerts@datalab.example>", "lab", password, way)
    channel = EmailChannel(server, Phrasebook("en", "UTC", None), SystemClock(), timeout_s=5.0)
    event = new_event(alert("fp-tls"), source="test")
    target = Target("mail", "email", recipients=("team@datalab.example",))
    return await channel.send(Delivery("delivery-1", event, "email", "mail", "receiver:mail", None, 1, 1), target)


@pytest.mark.parametrize("way", ["starttls", "tls"])
async def test_mail_goes_encrypted_and_with_a_login(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with mail_server(authority.server("localhost"), way) as (mails, port):
        assert (await send(port, way)).delivered
        wrong = await send(port, way, "another")
    assert [encrypted for _, encrypted in mails.taken] == [True]
    assert b"Quality gate failed" in mails.taken[0][0]
    # Tried again, since it is for us to correct.
    assert (wrong.delivered, wrong.status_code, wrong.permanent) == (False, 535, False)
    assert (wrong.reason or "").endswith("correct SMTP_USERNAME and SMTP_PASSWORD")
    assert PASSWORD not in str(wrong)


@pytest.mark.parametrize("way", ["starttls", "tls"])
async def test_a_mail_server_that_nobody_trusts_gets_neither_login_nor_mail(authority: Authority, way: Way) -> None:
    async with mail_server(authority.server("localhost"), way) as (mails, port):
        result = await send(port, way)
    assert (result.delivered, result.permanent) == (False, False)
    assert mails.logins == mails.taken == []


async def test_a_server_without_starttls_gets_neither_login_nor_mail() -> None:
    async with mail_server(None, "none") as (mails, port):
        result = await send(port, "starttls")
    assert not result.delivered
    assert mails.logins == mails.taken == []
