"""The secrets that webhooks are verified with, by name, in a file that only its owner can read."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError

from datalab.local.files import write_atomically
from datalab.local.inbox.messages import Verified


class Keyring:
    """Secrets by name of the webhook; those given at start count until one is registered for the name."""

    def __init__(self, file: Path, given: Mapping[str, str]) -> None:
        self._file = file
        self._secrets = {**given, **_load(file)}

    def register(self, name: str, secret: str) -> None:
        """Keep the secret for this name; raises ValueError if it is none."""
        if not _is_secret(secret):
            raise ValueError("must be whsec_ and base64")
        self._secrets[name] = secret
        write_atomically(self._file, json.dumps({**_load(self._file), name: secret}))

    def verify(self, name: str, body: bytes, headers: Mapping[str, str]) -> Verified:
        """What the public Standard Webhooks library says; `unknown` without a secret for the name."""
        secret = self._secrets.get(name)
        if secret is None:
            return "unknown"
        try:
            Webhook(secret).verify(body, dict(headers), json_parse=False)
        except (WebhookVerificationError, ValueError, EmptyWebhookSecretError):
            return "false"
        return "true"


def _is_secret(secret: str) -> bool:
    # Checked here, because the library passes over characters that are not base64.
    try:
        return secret.startswith("whsec_") and bool(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except binascii.Error:
        return False


def _load(file: Path) -> dict[str, str]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(secret) for name, secret in content.items()} if isinstance(content, dict) else {}
