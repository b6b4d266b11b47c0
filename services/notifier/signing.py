"""Standard Webhooks signatures (https://www.standardwebhooks.com): secrets, and the headers that prove the sender."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

_PREFIX = "whsec_"


def new_secret() -> str:
    """A fresh secret of 32 random bytes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secret_fault(secret: str) -> str | None:
    """None, or why this is not a secret: `whsec_` and the base64 of 24 to 64 bytes. Never repeats the secret."""
    if not secret.startswith(_PREFIX):
        return f"must start with {_PREFIX}"
    try:
        length = len(_key(secret))
    except (binascii.Error, ValueError):
        return f"must be base64 after {_PREFIX}"
    return None if 24 <= length <= 64 else f"must hold 24 to 64 bytes, holds {length}"


def signed_headers(message_id: str, at: datetime, body: bytes, keys: Iterable[str]) -> dict[str, str]:
    """The three headers; one `v1` signature per secret, so that a receiver may rotate at its own pace."""
    stamp = str(int(at.timestamp()))
    content = b".".join((message_id.encode(), stamp.encode(), body))
    signatures = ["v1," + base64.b64encode(hmac.digest(_key(key), content, hashlib.sha256)).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(signatures),
    }


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
