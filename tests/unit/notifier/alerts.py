"""What unit tests of the notifier decide about: an alert, a file with three receivers, a moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from schemas.alerts import AlertFiring
from services.notifier.config import NotifyConfig

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)  # a Tuesday; noon in São Paulo
RECEIVERS = [
    {"name": "mail", "channel": "email", "to": ["a@datalab.example"]},
    {"name": "chat", "channel": "slack", "url_env": "SLACK_WEBHOOK_URL"},
    {"name": "hook", "channel": "webhook", "url": "https://hooks.example/x"},
]
ENVIRONMENT = {"SMTP_HOST": "mail.example", "SLACK_WEBHOOK_URL": "https://slack.example/x"}


def firing(**more: Any) -> AlertFiring:
    values = {
        "fingerprint": "f",
        "episode": "e",
        "rule": "flow-run-failed",
        "severity": "error",
        "summary": "s",
        "labels": {"team": "data"},
        "starts_at": "2026-11-24T00:00:00Z",
        **more,
    }
    return AlertFiring(**values)


def config(*routes: dict[str, Any], **more: Any) -> NotifyConfig:
    return NotifyConfig.model_validate({"receivers": RECEIVERS, "routes": list(routes)} | more)
