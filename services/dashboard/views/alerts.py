"""The order of alerts. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from services.dashboard.answers.monitor import Alert

SEVERITIES = ("critical", "error", "warning", "info")


def most_severe_first(alerts: Iterable[Alert]) -> list[Alert]:
    """By severity, then the newest first. A severity that is not known comes last."""
    newest = sorted(alerts, key=lambda alert: alert.starts_at, reverse=True)
    return sorted(newest, key=lambda alert: _rank(alert.severity))


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
