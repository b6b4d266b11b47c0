"""What each channel says: escaped, within its limits, in both languages, and never with a header of the alert's own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest

from datalab.local.inbox.shapes import slack_fault, teams_fault
from schemas.alerts import AlertFiring, AlertResolved
from schemas.envelope import new_event
from services.notifier.channels.email import EmailChannel, MailServer
from services.notifier.channels.slack import escaped_within, message_for
from services.notifier.channels.teams import LIMIT_BYTES, card_bytes, plain
from services.notifier.delivery import Delivery, Target
from services.notifier.messages import AlertMessage, Phrasebook, duration, one_line
from services.notifier.outgoing import redacted

NASTY = "<script>alert(1)</script> & <!channel> *bold* [x](https://evil.example) {{ 7*7 }} \u202e"
ZONE = "America/Sao_Paulo"


class Noon:
    def now(self) -> datetime:
        return datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


WORDS = Phrasebook("en", ZONE)


def alert(resolved: bool = False, language: str = "en", **more: Any) -> AlertMessage:
    values = {
        "fingerprint": "fp-1",
        "episode": "fp-1-a",
        "rule": "quality-gate-failed",
        "severity": "error",
        "summary": "Quality gate failed",
        "starts_at": "2026-11-24T02:00:00Z",
        **more,
    }
    data = AlertResolved(**values, ends_at="2026-11-24T04:05:00Z") if resolved else AlertFiring(**values)
    return Phrasebook(language, ZONE).message(new_event(data, source="t"))


def mail(resolved: bool = False, language: str = "en", **more: Any) -> EmailMessage:
    message = alert(resolved, language, **more)
    channel = EmailChannel(MailServer("h", 25, "Lab <alerts@lab.example>"), Phrasebook(language, ZONE), Noon())
    data = AlertFiring(
        fingerprint="f", episode="e", rule="r", severity="error", summary="s", starts_at="2026-11-24T02:00:00Z"
    )
    delivery = Delivery(
        f"delivery-{resolved}", new_event(data, source="t"), "email", "team", "receiver:team", None, 1, 1
    )
    composed = channel.compose(
        delivery, message, Target("team", "email", recipients=("a@x.example",)), "Lab <alerts@lab.example>"
    )
    parsed = message_from_bytes(composed.as_bytes(), policy=default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body(preferencelist=(kind,))
    assert body is not None
    return str(body.get_content())


def test_mail_html_is_escaped_and_templates_in_alerts_stay_text() -> None:
    html = part(mail(summary=NASTY, description=NASTY, labels={"k<i>": NASTY}), "html")
    assert "<script>" not in html
    assert "<i>" not in html
    assert "&lt;script&gt;" in html
    assert "{{ 7*7 }}" in html
    assert ">49<" not in html


@pytest.mark.parametrize("injection", ["x\r\nBcc: victim@x.example", "x\nBcc: victim@x.example", "x\x00y\u2028Bcc: v"])
def test_an_alert_cannot_add_headers(injection: str) -> None:
    message = mail(summary=injection, fingerprint=injection)
    assert message["Bcc"] is None
    assert message["To"] == "a@x.example"
    assert len(message.get_all("Subject") or []) == 1


def test_a_resolution_answers_the_firing_mail() -> None:
    first, second = mail(), mail(resolved=True)
    assert second["In-Reply-To"] == second["References"] == first["Message-ID"]
    assert second["Subject"] == f"Re: {first['Subject']}"
    assert mail()["Message-ID"] == first["Message-ID"], "a repeat must be recognisable"
    assert mail(episode="another")["Message-ID"] != first["Message-ID"]


def test_only_web_addresses_become_links() -> None:
    html = part(
        mail(annotations={"Run": "https://ok.example/1", "Bad": "javascript:alert(1)", "Q": 'http://x"y'}), "html"
    )
    assert 'href="https://ok.example/1"' in html
    assert 'href="javascript' not in html
    assert html.count("href=") == 1


def test_portuguese_speaks_portuguese() -> None:
    message = mail(resolved=True, language="pt")
    assert "Resolvido após 2 h 05 min." in part(message, "plain")
    assert "24/11/2026 01:05:00 -03" in part(message, "html")
    assert "Gravidade" in part(message, "html")
    assert '<html lang="pt">' in part(message, "html")


def test_slack_is_escaped() -> None:
    payload = json.dumps(message_for(alert(description=NASTY, labels={"a": NASTY}), "d", WORDS), ensure_ascii=False)
    assert "<!channel>" not in payload
    assert "&lt;!channel&gt;" in payload


@pytest.mark.parametrize("size", [0, 1, 149, 150, 2999, 3000, 3001, 40_000])
@pytest.mark.parametrize("character", ["x", "&", "<", "é", "🔴"])
def test_slack_and_teams_stay_within_their_limits(size: int, character: str) -> None:
    text = character * size
    big = alert(
        summary=text or "x",
        description=text,
        labels={f"label-{n}": text for n in range(60)},
        annotations={f"link-{n}": f"https://x.example/{n}" for n in range(20)},
    )
    payload = message_for(big, "delivery-1", WORDS)
    assert slack_fault(payload) is None
    body = card_bytes(big, "delivery-1", WORDS)
    assert len(body) <= LIMIT_BYTES
    assert teams_fault(json.loads(body)) is None


def test_slack_text_is_never_cut_within_an_escape() -> None:
    for limit in range(1, 30):
        cut = escaped_within("a<&>" * 20, limit)
        assert len(cut) <= limit
        assert cut.rstrip("…").replace("&lt;", "").replace("&gt;", "").replace("&amp;", "").count("&") == 0


def test_teams_text_brings_no_markup_of_its_own() -> None:
    assert plain("[x](https://evil.example) *b*") == r"\[x\]\(https://evil.example\) \*b\*"
    card = json.loads(card_bytes(alert(summary="[x](y)"), "d", WORDS))["attachments"][0]["content"]
    assert r"\[x\]\(y\)" in card["body"][0]["items"][1]["text"]


@pytest.mark.parametrize(("severity", "style"), [("critical", "attention"), ("warning", "warning"), ("info", "accent")])
def test_teams_colour_follows_severity_and_resolution(severity: str, style: str) -> None:
    def styled(resolved: bool) -> Any:
        body = card_bytes(alert(resolved, severity=severity), "d", WORDS)
        return json.loads(body)["attachments"][0]["content"]["body"][0]["style"]

    assert (styled(False), styled(True)) == (style, "good")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 01 s"),
        (7500, "2 h 05 min"),
        (90_000, "1 d 1 h"),
        (-5, "0 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_one_line_has_no_control_characters() -> None:
    assert one_line("a\r\nb\x00c\u2028d", 100) == "a b c d"
    assert one_line("x" * 50, 10) == "x" * 9 + "…"


def test_answers_do_not_give_the_address_away() -> None:
    url = "https://hooks.slack.com/services/T0123456/B0123456/abcdefSECRET?token=qwertyuiop"
    for echo in (
        f"no such {url}",
        "POST /services/T0123456/B0123456/abcdefSECRET?token=qwertyuiop",
        "bad token qwertyuiop",
    ):
        text = redacted(echo, url)
        assert "SECRET" not in text
        assert "qwertyuiop" not in text
