"""The SMTP side: accepts mail for anyone and puts it into the box."""

from __future__ import annotations

import asyncio
import email
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import default as modern
from typing import Any

from aiosmtpd.smtp import SMTP

from datalab.local.inbox.messages import Mail, MessageBox

_LIMIT_BYTES = 1024 * 1024


class MailHandler:
    """aiosmtpd's handler: called once per message, after its last line."""

    def __init__(self, box: MessageBox) -> None:
        self._box = box

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Store the message; the answer is SMTP's."""
        mail = read_mail(envelope.content, envelope.mail_from or "", list(envelope.rcpt_tos))
        parsed = email.message_from_bytes(envelope.content, policy=modern)
        self._box.add(
            "email",
            mail.subject,
            snippet=" ".join(mail.text.split())[:240],
            headers={name: str(value) for name, value in parsed.items()},
            body=envelope.content.decode("utf-8", "replace"),
            mail=mail,
        )
        return "250 OK: message accepted"


def read_mail(content: bytes, sender: str, recipients: list[str]) -> Mail:
    """The message as a mail program reads it; broken parts become empty, never an error."""
    parsed = email.message_from_bytes(content, policy=modern)

    def header(name: str) -> str | None:
        value = parsed.get(name)
        return None if value is None else str(value).strip()

    return Mail(
        sender=header("From") or sender,
        recipients=recipients,
        subject=header("Subject") or "",
        message_id=header("Message-ID"),
        in_reply_to=header("In-Reply-To"),
        references=header("References"),
        text=_part(parsed, "plain"),
        html=_part(parsed, "html"),
    )


@asynccontextmanager
async def smtp_server(box: MessageBox, host: str, port: int) -> AsyncIterator[None]:
    """Listen for mail; raises OSError if the port is taken."""
    loop = asyncio.get_running_loop()
    handler = MailHandler(box)

    def session() -> SMTP:
        return SMTP(
            handler,
            hostname="inbox.datalab.local",
            ident="DataFlow Lab inbox",
            data_size_limit=_LIMIT_BYTES,
            enable_SMTPUTF8=True,
            loop=loop,
        )

    server = await loop.create_server(session, host, port)
    try:
        yield
    finally:
        server.close()


async def check_smtp(host: str, port: int) -> str | None:
    """Readiness: None if the server greets as SMTP servers do."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        greeting = await reader.readline()
        writer.write(b"QUIT\r\n")
        await writer.drain()
    finally:
        writer.close()
    return None if greeting.startswith(b"220 ") else "SMTP does not greet"


def _part(parsed: EmailMessage, kind: str) -> str:
    part = parsed.get_body(preferencelist=(kind,))
    if part is None:
        return ""
    try:
        return str(part.get_content())
    except (LookupError, ValueError, KeyError):  # an unknown charset or a broken encoding
        return ""
