"""Where the local lab's messages go: to its own inbox, unless the user has named a real mail server or channel."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from datalab.local.layout import LabLayout

_SECRET_BYTES = 32


def receivers(layout: LabLayout, ports: Mapping[str, int], inherited: Mapping[str, str]) -> dict[str, str]:
    """What the notifier and the inbox are told. Empty where the lab has no inbox; what the user has set wins."""
    if not {"inbox", "inbox-smtp"} <= ports.keys():
        return {}
    web, smtp = f"127.0.0.1:{ports['inbox']}", f"127.0.0.1:{ports['inbox-smtp']}"
    ours = {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(ports["inbox-smtp"]),
        "ALERT_EMAIL_TO": "data-team@datalab.example",
        "SLACK_WEBHOOK_URL": f"http://{web}/slack/services/T/B/lab",
        "TEAMS_WEBHOOK_URL": f"http://{web}/teams/workflows/lab",
        "ALERT_WEBHOOK_URL": f"http://{web}/webhooks/alerts",
        # The guard refuses loopback and plain http but for these two.
        "NOTIFIER_ALLOWED_HOSTS": ",".join(filter(None, [inherited.get("NOTIFIER_ALLOWED_HOSTS"), web, smtp])),
    }
    if inherited.get("SMTP_HOST"):
        # A host without a port means the protocol's own port, not the inbox's.
        del ours["SMTP_PORT"]
    secret = inherited.get("ALERT_WEBHOOK_SECRET") or _kept_secret(layout.home / "alert-webhook.secret")
    theirs = {name: inherited[name] for name in ours if inherited.get(name) and name != "NOTIFIER_ALLOWED_HOSTS"}
    return {**ours, **theirs, "ALERT_WEBHOOK_SECRET": secret}


def _kept_secret(path: Path) -> str:
    """The lab's own signing secret: made once, readable by its user only."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        if kept := path.read_text("ascii").strip():
            return kept
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    with os.fdopen(descriptor, "w") as file:
        file.write(secret)
    return secret
