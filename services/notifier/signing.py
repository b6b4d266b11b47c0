"""Standard Webhooks signatures (https://www.standardwebhooks.com): secrets, and the headers that prove the sender.

`v1` is an HMAC with a secret that both sides know (`whsec_…`); `v1a` an ed25519 signature, for receivers that should
hold nothing but a public key (`whpk_…`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SECRET, _PRIVATE, _PUBLIC = "whsec_", "whsk_", "whpk_"


def new_secret() -> str:
    """A fresh secret of 32 random bytes."""
    return _SECRET + base64.b64encode(secrets.token_bytes(32)).decode()


def new_private_key() -> str:
    """A fresh ed25519 key: `whsk_` and the base64 of its 32 bytes."""
    return _PRIVATE + base64.b64encode(secrets.token_bytes(32)).decode()


def public_key(private: str) -> str:
    """What receivers verify `v1a` with: `whpk_` and the base64 of 32 bytes."""
    return _PUBLIC + base64.b64encode(_ed25519(private).public_key().public_bytes_raw()).decode()


def is_private_key(key: str) -> bool:
    """Whether it signs with `v1a`."""
    return key.startswith(_PRIVATE)


def secret_fault(secret: str) -> str | None:
    """None, or why this is not a secret: `whsec_` and the base64 of 24 to 64 bytes. Never repeats the secret."""
    if not secret.startswith(_SECRET):
        return f"must start with {_SECRET}"
    try:
        length = len(_bytes(secret))
    except (binascii.Error, ValueError):
        return f"must be base64 after {_SECRET}"
    return None if 24 <= length <= 64 else f"must hold 24 to 64 bytes, holds {length}"


def signed_headers(message_id: str, at: datetime, body: bytes, keys: Iterable[str]) -> dict[str, str]:
    """The three headers; one signature per key, so that a receiver may rotate at its own pace."""
    stamp = str(int(at.timestamp()))
    content = b".".join((message_id.encode(), stamp.encode(), body))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(_signature(key, content) for key in keys),
    }


def _signature(key: str, content: bytes) -> str:
    if is_private_key(key):
        return "v1a," + base64.b64encode(_ed25519(key).sign(content)).decode()
    return "v1," + base64.b64encode(hmac.digest(_bytes(key), content, hashlib.sha256)).decode()


@lru_cache(maxsize=1000)
def _ed25519(private: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(_bytes(private))


def _bytes(key: str) -> bytes:
    return base64.b64decode(key.partition("_")[2], validate=True)
