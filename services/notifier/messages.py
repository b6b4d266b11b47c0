"""An alert as people read it: title, facts, links and times in their language. Channels give it its shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from schemas.alerts import AlertResolved
from schemas.catalog import parse_data
from schemas.envelope import Event
from services.notifier.routing import Alert

TEMPLATES = Path(__file__).with_name("templates")
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

    @property
    def headline(self) -> str:
        """One line that says all: sign, state or severity, summary."""
        return f"{self.sign} {self.status_text if self.resolved else self.severity_text}: {self.summary}"


class Phrasebook:
    """The words of one language, with the lab's time zone."""

    def __init__(self, language: str, timezone: str, dashboard_url: str | None = None) -> None:
        self.language, self._zone, self._dashboard = language, ZoneInfo(timezone), dashboard_url
        self.words: Mapping[str, Any] = yaml.safe_load((TEMPLATES / language / "words.yaml").read_text("utf-8"))

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
        facts += sorted((k, v) for k, v in alert.annotations.items() if not _is_link(v))
        return tuple(facts)

    def _links(self, alert: Alert) -> tuple[tuple[str, str], ...]:
        links = sorted((name, value) for name, value in alert.annotations.items() if _is_link(value))
        if self._dashboard:
            links.append((self.words["dashboard"], self._dashboard))
        return tuple(links)

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


def one_line(text: str, limit: int) -> str:
    """The text without line breaks and control characters, at most `limit` characters long."""
    cleaned = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def _is_link(value: str) -> bool:
    return value.startswith(("http://", "https://")) and not any(c.isspace() or c in "<>\"'|" for c in value)
