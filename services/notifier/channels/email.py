"""Mail by SMTP: HTML and text, in one conversation per episode of an alert."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from typing import Any, Literal

import aiosmtplib
from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from datalab.runtime.clock import Clock
from schemas.envelope import event_id
from services.notifier.delivery import Delivery, Result, Target
from services.notifier.messages import TEMPLATES, AlertMessage, Phrasebook, one_line

_SUBJECT_LIMIT = 180
_REFERENCES = 20


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed over."""

    host: str
    port: int
    sender: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Literal["none", "starttls", "tls"] = "none"


class EmailChannel:
    """Sends one message to all recipients of a target."""

    def __init__(self, server: MailServer | None, phrases: Phrasebook, clock: Clock, *, timeout_s: float = 10.0):
        self._server, self._phrases, self._clock, self._timeout_s = server, phrases, clock, timeout_s
        self._by_language: dict[str, MailTemplates] = {}

    async def send(self, delivery: Delivery, target: Target) -> Result:
        """Hand the message over; a server's 4xx and a refused login are tried again, its other 5xx are final."""
        if self._server is None:  # pragma: no cover - such a target is unavailable already
            return Result(False, "SMTP_HOST is not set", permanent=True)
        alert = self._told(delivery, target)
        mail = self.compose(delivery, alert, target, self._server.sender)
        try:
            refused = await self._hand_over(mail, self._server, target.recipients)
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refusal.code for refusal in error.recipients]
            return _smtp_fault(max(codes, default=550), "every recipient was refused")
        except aiosmtplib.SMTPAuthenticationError as error:
            # That is ours to correct: mail waits for it, as it does for a server that is away.
            why = f"SMTP {error.code}: the login was refused; correct SMTP_USERNAME and SMTP_PASSWORD"
            return Result(False, why, error.code)
        except aiosmtplib.SMTPResponseException as error:
            return _smtp_fault(error.code, one_line(error.message, 160))
        except (aiosmtplib.SMTPException, OSError) as error:
            return Result(False, f"SMTP: {_kind(error)}")
        note = f"{refused} of {len(target.recipients)} recipients were refused" if refused else None
        return Result(True, note, 250)

    async def preview(self, delivery: Delivery, target: Target) -> dict[str, Any]:
        """Headers and both bodies; of the recipients only how many."""
        sender = self._server.sender if self._server else "alerts@datalab.example"
        mail = self.compose(delivery, self._told(delivery, target), target, sender)
        parts = {kind: mail.get_body((kind,)) for kind in ("plain", "html")}
        bodies = {kind: str(part.get_content()) for kind, part in parts.items() if part is not None}
        shown = ("Subject", "Message-ID", "In-Reply-To", "References")
        headers = {name: str(mail[name]) for name in shown if mail[name]}
        return {
            "headers": headers,
            "recipients": len(target.recipients),
            "text": bodies["plain"],
            "html": bodies["html"],
        }

    def _told(self, delivery: Delivery, target: Target) -> AlertMessage:
        return self._phrases.in_language(target.language).told(delivery.event, delivery.notice)

    def compose(self, delivery: Delivery, alert: AlertMessage, target: Target, sender: str) -> EmailMessage:
        """The message. A repeat has the same Message-ID; a resolution answers the firing message."""
        name, address = parseaddr(sender)
        domain = address.rpartition("@")[2]
        roots = [f"<{root}@{domain}>" for root in _roots(delivery, alert, target)]
        subject = one_line(f"[DataFlow Lab] {alert.severity_text}: {alert.summary}", _SUBJECT_LIMIT)
        mail = EmailMessage(policy=SMTP_POLICY)
        mail["From"] = Address(one_line(name, 80), addr_spec=address)
        mail["To"] = ", ".join(target.recipients)
        # Mail programs keep a conversation together by references and an unchanged subject.
        mail["Subject"] = f"Re: {subject}" if alert.resolved and not alert.items else subject
        mail["Date"] = format_datetime(self._clock.now())
        if delivery.notice is None and not alert.resolved:
            mail["Message-ID"] = roots[0]
        else:
            mail["Message-ID"] = f"<{delivery.id}@{domain}>"
            mail["In-Reply-To"] = roots[0]
            mail["References"] = " ".join(roots)
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-DataLab-Status"] = "resolved" if alert.resolved else "firing"
        mail["X-DataLab-Delivery"] = delivery.id
        mail["X-DataLab-Fingerprint"] = re.sub(r"[^A-Za-z0-9._:-]", "_", alert.fingerprint)[:120]
        text, html = self._templates(target).render(alert)
        mail.set_content(text)
        mail.add_alternative(html, subtype="html")
        return mail

    def _templates(self, target: Target) -> MailTemplates:
        phrases = self._phrases.in_language(target.language)
        if phrases.language not in self._by_language:
            self._by_language[phrases.language] = MailTemplates(phrases)
        return self._by_language[phrases.language]

    async def _hand_over(self, mail: EmailMessage, server: MailServer, recipients: Sequence[str]) -> int:
        refused, _ = await aiosmtplib.send(
            mail,
            recipients=list(recipients),
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.tls == "tls",
            start_tls=server.tls == "starttls",
            local_hostname="localhost",  # the default asks DNS for this machine's name, which may hang
            timeout=self._timeout_s,
        )
        return len(refused)


class MailTemplates:
    """The two bodies of a message; a language's folder may replace a shared template by one of the same name."""

    def __init__(self, phrases: Phrasebook) -> None:
        folders = [FileSystemLoader(TEMPLATES / phrases.language), FileSystemLoader(TEMPLATES)]
        self._jinja = ImmutableSandboxedEnvironment(
            loader=ChoiceLoader(folders),
            autoescape=lambda name: bool(name and ".html." in name),
            undefined=StrictUndefined,
            keep_trailing_newline=True,
        )
        self._phrases = phrases

    def render(self, alert: AlertMessage) -> tuple[str, str]:
        """Text and HTML."""
        text, html = (
            self._jinja.get_template(name).render(m=alert, trace=self._phrases.words["trace"], more=self._phrases.more)
            for name in ("alert.txt.j2", "alert.html.j2")
        )
        return text, html


def _roots(delivery: Delivery, alert: AlertMessage, target: Target) -> list[str]:
    """What the conversation hangs from: the first message of the alert's episode; of a group its name, which no message
    has as its own, and the episodes in it, so that what is told of one of them later joins in."""
    notice = delivery.notice
    if notice is None or not notice.alerts:
        return [event_id(alert.episode, target.name)]
    name = [f"{key}={value}" for key, value in sorted(notice.labels.items())]
    episodes = [str(event.data.get("episode")) for event in notice.alerts[:_REFERENCES]]
    return [event_id("group", target.name, *name), *(event_id(episode, target.name) for episode in episodes)]


def _smtp_fault(code: int, text: str) -> Result:
    return Result(False, f"SMTP {code}: {text}", code, permanent=code >= 500)


def _kind(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPTimeoutError):
        return "no answer in time"
    if isinstance(error, aiosmtplib.SMTPConnectError):
        return "connection failed"
    return type(error).__name__
