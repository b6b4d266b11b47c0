"""Groups, digests, reminders and the rest as people read them, in both languages, within each channel's limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from datalab.local.inbox.shapes import slack_fault
from schemas.alerts import AlertResolved
from schemas.envelope import Event, new_event
from services.notifier.bundles import Note, Notice, bundle
from services.notifier.channels.email import MailTemplates
from services.notifier.channels.slack import message_for
from services.notifier.channels.teams import LIMIT_BYTES, card_bytes
from services.notifier.messages import Phrasebook, listed
from tests.unit.notifier.alerts import firing

ZONE = "America/Sao_Paulo"


def fired(fingerprint: str, **more: Any) -> Event:
    return new_event(firing(fingerprint=fingerprint, episode=fingerprint, **more), source="t")


def resolved(fingerprint: str) -> Event:
    values = firing(fingerprint=fingerprint, episode=fingerprint).model_dump() | {"ends_at": "2026-11-24T02:00:00Z"}
    return new_event(AlertResolved(**values), source="t")


@pytest.mark.parametrize(
    ("language", "summary", "lead"),
    [
        ("en", "3 alerts · flow-failed", "2 firing, 1 resolved"),
        ("pt", "3 alertas · flow-failed", "2 em alerta, 1 resolvido"),
    ],
)
def test_a_group_says_how_many_and_lists_the_worst_first(language: str, summary: str, lead: str) -> None:
    events = [fired("a", severity="warning"), resolved("b"), fired("c", severity="critical", summary="Spark is down")]
    told = Phrasebook(language, ZONE).told(events[0], bundle("group", events, {"rule": "flow-failed"}))
    assert (told.summary, told.lead, told.severity, told.resolved) == (summary, lead, "critical", False)
    assert told.items[0].endswith("Spark is down")
    assert told.items[-1].startswith("✅")
    assert ("rule", "flow-failed") in told.facts


def test_a_group_that_is_over_is_told_as_resolved() -> None:
    events = [resolved("a"), resolved("b")]
    told = Phrasebook("en", ZONE).told(events[0], bundle("group", events))
    assert (told.resolved, told.sign, told.lead) == (True, "✅", "2 resolved")


def test_a_group_of_one_is_told_as_that_alert_in_its_last_state() -> None:
    events = [fired("a"), resolved("a")]
    told = Phrasebook("en", ZONE).told(events[0], bundle("group", events))
    assert (told.items, told.resolved) == ((), True)


@pytest.mark.parametrize(
    ("note", "en", "pt"),
    [
        (Note(kind="repeat", number=2), "Still firing (reminder 2).", "Continua em alerta (lembrete 2)."),
        (Note(kind="late", reason="silenced"), "Not told until now: silenced.", "Não avisado até agora: silenced."),
        (
            Note(kind="escalation", number=1, after_s=900),
            "Nobody acknowledged this within 15 min (step 1).",
            "Ninguém assumiu este alerta em 15 min (passo 1).",
        ),
        (
            Note(kind="fallback", receiver="chat", reason="HTTP 500"),
            "Receiver chat could not be reached: HTTP 500.",
            "Não foi possível avisar chat: HTTP 500.",
        ),
    ],
)
def test_a_note_says_why_it_is_told(note: Note, en: str, pt: str) -> None:
    book = Phrasebook("en", ZONE)
    assert book.told(fired("a"), Notice(note=note)).opening.startswith(en)
    assert book.in_language("pt").told(fired("a"), Notice(note=note)).opening.startswith(pt)


@pytest.mark.parametrize("count", [2, 40, 500])
@pytest.mark.parametrize("summary", ["s", "ü" * 2000, "<&>" * 700])
def test_a_digest_fits_every_channel_and_counts_what_it_leaves_out(count: int, summary: str) -> None:
    book = Phrasebook("en", ZONE)
    events = [fired(f"f{number}", summary=summary, severity="info") for number in range(count)]
    told = book.told(events[0], bundle("digest", events))
    payload = message_for(told, "d", book)
    assert slack_fault(payload) is None
    assert len(card_bytes(told, "d", book)) <= LIMIT_BYTES
    text, html = MailTemplates(book).render(told)
    left = count - len(told.items)
    for body in (text, html):
        assert (f"… and {left} more" in body) is (left > 0)
    shown = listed(told, book, 3000)
    lines = shown.split("\n")
    hidden = count - sum(not line.startswith("…") for line in lines)
    assert (f"… and {hidden} more" in json.dumps(shown, ensure_ascii=False)) is (hidden > 0)


def test_names_in_a_mail_bring_no_markup_and_no_template() -> None:
    book = Phrasebook("en", ZONE)
    events = [fired("a", summary="<script>{{ 7*7 }}</script>"), fired("b")]
    _, html = MailTemplates(book).render(book.told(events[0], bundle("group", events)))
    assert "<script>" not in html
    assert "{{ 7*7 }}" in html


def test_links_are_named_in_the_readers_language_and_ids_are_left_to_programs() -> None:
    annotations = {
        "trace_url": "https://lab.example/event-trace?event=1",
        "dashboard_url": "https://lab.example",
        "run_url": "https://prefect.example/runs/1",
        "grafana_board": "https://grafana.example/d/1",
        "event_id": "0e4d",
        "correlation_id": "0e4d",
        "reason": "no answer",
    }
    event = new_event(firing(annotations=annotations), source="t")
    told = Phrasebook("pt", "UTC", "https://another.example").message(event)
    assert told.links == (
        ("Grafana board", "https://grafana.example/d/1"),
        ("Execução", "https://prefect.example/runs/1"),
        ("Rastreio", "https://lab.example/event-trace?event=1"),
        ("Painel", "https://lab.example"),
    )
    assert ("reason", "no answer") in told.facts
    assert "0e4d" not in str(told.facts)
