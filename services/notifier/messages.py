"""An alert as people read it: title, facts, links and times in their language. Channels give it its shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from schemas.alerts import AlertResolved
from schemas.catalog import parse_data
from schemas.envelope import Event, event_id
from services.notifier.bundles import Note, Notice
from services.notifier.planned import Alert

TEMPLATES = Path(__file__).with_name("templates")
# Annotations that tell people nothing: the links lead to what they name.
_FOR_PROGRAMS = frozenset({"event_id", "event_type", "correlation_id", "resolved_by"})
_SIGNS = {"critical": "🚨", "error": "🔴", "warning": "🟠", "info": "🔵"}


@dataclass(frozen=True)
class AlertMessage:
    """What to say. `facts` are (label, value) in the reader's language, `links` are (label, http address)."""

    event_id: str
    correlation_id: str
    fingerprint: str
    episode: str
    resolved: bool
    severity: str
    sign: str
    status_text: str
    severity_text: str
    summary: str
    description: str
    lead: str
    facts: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...]
    footer: str
    language: str
    note: str = ""  # why it is sent, if not because it has just begun or ended
    items: tuple[str, ...] = ()  # the alerts of a group or digest, the worst first
    total: int = 1  # how many alerts it is about; more than there are items

    @property
    def opening(self) -> str:
        """What stands below the title: the note, and since when."""
        return f"{self.note} {self.lead}".strip()

    @property
    def headline(self) -> str:
        """One line that says all: sign, state or severity, summary."""
        if self.items:
            return f"{self.sign} {self.summary}"
        return f"{self.sign} {self.status_text if self.resolved else self.severity_text}: {self.summary}"


class Phrasebook:
    """The words of one language, with the lab's time zone."""

    def __init__(self, language: str, timezone: str, dashboard_url: str | None = None) -> None:
        self.language, self._zone, self._dashboard = language, ZoneInfo(timezone), dashboard_url
        self._others: dict[str, Phrasebook] = {}
        self.words: Mapping[str, Any] = yaml.safe_load((TEMPLATES / language / "words.yaml").read_text("utf-8"))

    def in_language(self, language: str | None) -> Phrasebook:
        """The same in that language; this one for None."""
        if language is None or language == self.language:
            return self
        if language not in self._others:
            self._others[language] = Phrasebook(language, self._zone.key, self._dashboard)
        return self._others[language]

    def told(self, event: Event, notice: Notice | None) -> AlertMessage:
        """The message of a delivery: of its event, or of the alerts that its notice tells."""
        alerts = notice.alerts if notice else []
        note = self._note(notice.note) if notice and notice.note else ""
        if notice is None or not alerts:
            return replace(self.message(event), note=note)
        if len(alerts) == notice.total == 1:
            return replace(self.message(alerts[0]), note=note)
        return self._bundle(event, notice, note)

    def message(self, event: Event) -> AlertMessage:
        """The alert in this event; raises pydantic's ValidationError or ValueError if it is none."""
        alert = parse_data(event)
        if not isinstance(alert, Alert):
            raise ValueError(f"{event.type} is not an alert")  # noqa: TRY004 - of the event, not of the code
        resolved = isinstance(alert, AlertResolved)
        return AlertMessage(
            event_id=event.id,
            correlation_id=event.correlation,
            fingerprint=alert.fingerprint,
            episode=alert.episode,
            resolved=resolved,
            severity=alert.severity,
            sign="✅" if resolved else _SIGNS[alert.severity],
            status_text=self.words["resolved" if resolved else "firing"],
            severity_text=self.words["severities"][alert.severity],
            summary=alert.summary,
            description=alert.description,
            lead=self._lead(alert),
            facts=self._facts(alert),
            links=self._links(alert),
            footer=self.words["footer"],
            language=self.language,
        )

    def _bundle(self, event: Event, notice: Notice, note: str) -> AlertMessage:
        """Many alerts in one message, as severe as the worst of them."""
        shown = [self.message(alert) for alert in notice.alerts]
        worst = shown[0]
        named = [value for _, value in sorted(notice.labels.items()) if value]
        resolved = notice.counts.get("resolved", 0)
        firing = notice.total - resolved
        states = [(self.words["firing"], firing), (self.words["resolved"], resolved)]
        kinds = self.words["severities"]
        counted = [(kinds[name], notice.counts[name]) for name in kinds if notice.counts.get(name)]
        return replace(
            worst,
            event_id=event.id,
            correlation_id=event.correlation,
            fingerprint=event.subject or worst.fingerprint,
            episode=event_id("bundle", event.id),
            resolved=firing == 0,
            sign="✅" if firing == 0 else _SIGNS[worst.severity],
            status_text=self.words["resolved" if firing == 0 else "firing"],
            summary=" · ".join([str(self.words[notice.kind or "group"]).format(count=notice.total), *named]),
            description="",
            lead=", ".join(f"{count} {name.lower()}" for name, count in states if count),
            facts=tuple((name, str(count)) for name, count in counted) + tuple(sorted(notice.labels.items())),
            links=((self.words["dashboard"], self._dashboard),) if self._dashboard else (),
            note=note,
            items=tuple(self._item(one) for one in shown),
            total=notice.total,
        )

    def _item(self, one: AlertMessage) -> str:
        state = one.status_text if one.resolved else one.severity_text
        return one_line(f"{one.sign} {state}: {one.summary}", 300)

    def _note(self, note: Note) -> str:
        words: str = self.words["notes"][note.kind]
        after = duration(note.after_s)
        return words.format(number=note.number, after=after, receiver=note.receiver, reason=one_line(note.reason, 200))

    def more(self, count: int) -> str:
        """That so many more are not shown."""
        return str(self.words["more"]).format(count=count)

    def _lead(self, alert: Alert) -> str:
        if isinstance(alert, AlertResolved) and alert.ends_at is not None:
            seconds = (alert.ends_at - alert.starts_at).total_seconds()
            return str(self.words["resolved_after"]).format(duration=duration(seconds))
        if isinstance(alert, AlertResolved):
            return str(self.words["resolved"])
        return str(self.words["firing_since"]).format(time=self._time(alert.starts_at))

    def _facts(self, alert: Alert) -> tuple[tuple[str, str], ...]:
        facts = [
            (self.words["rule"], alert.rule),
            (self.words["severity"], self.words["severities"][alert.severity]),
            (self.words["started"], self._time(alert.starts_at)),
        ]
        if alert.ends_at is not None:
            facts.append((self.words["ended"], self._time(alert.ends_at)))
        facts += sorted(alert.labels.items())
        told = alert.annotations.items()
        facts += sorted((name, value) for name, value in told if name not in _FOR_PROGRAMS and not _is_link(value))
        return tuple(facts)

    def _links(self, alert: Alert) -> tuple[tuple[str, str], ...]:
        """By label, the ones that this alert alone has first; none twice."""
        links = {self._label(name): value for name, value in sorted(alert.annotations.items()) if _is_link(value)}
        dashboard = self.words["dashboard"]
        address = links.pop(dashboard, self._dashboard)
        return (*links.items(), (dashboard, address)) if address else tuple(links.items())

    def _label(self, annotation: str) -> str:
        """What a link is called: in the reader's language where there is a word for it."""
        name = annotation.removesuffix("_url")
        known: str | None = self.words["links"].get(name)
        return known or name[:1].upper() + name[1:].replace("_", " ")

    def _time(self, at: datetime) -> str:
        return at.astimezone(self._zone).strftime(str(self.words["time_format"]))


def duration(seconds: float) -> str:
    """A length of time in two units at most, such as `2 h 05 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def listed(message: AlertMessage, phrases: Phrasebook, limit: int) -> str:
    """The items of a message as lines of at most so many characters in all; the last says how many are left out."""
    lines: list[str] = []
    room = limit - len(phrases.more(message.total)) - 1
    for item in message.items:
        if len(item) + 1 > room:
            break
        lines.append(item)
        room -= len(item) + 1
    left = message.total - len(lines)
    return "\n".join([*lines, phrases.more(left)] if left else lines)


def one_line(text: str, limit: int) -> str:
    """The text without line breaks and control characters, at most `limit` characters long."""
    cleaned = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def _is_link(value: str) -> bool:
    return value.startswith(("http://", "https://")) and not any(c.isspace() or c in "<>\"'|" for c in value)
