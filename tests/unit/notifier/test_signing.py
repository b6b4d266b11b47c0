"""Signatures, against the public verifier."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from services.notifier.signing import new_secret, secret_fault, signed_headers
from services.notifier.targets import live_secrets

BODY = '{"data":{"name":"preço ü"}}'.encode()


def test_the_public_verifier_accepts_it() -> None:
    secret = new_secret()
    Webhook(secret).verify(BODY, signed_headers("id-1", datetime.now(UTC), BODY, [secret]))


@pytest.mark.parametrize("change", ["body", "id", "time", "secret", "old"])
def test_any_change_is_noticed(change: str) -> None:
    secret, now = new_secret(), datetime.now(UTC)
    headers = signed_headers("id-1", now - timedelta(minutes=6 if change == "old" else 0), BODY, [secret])
    body = BODY + b" " if change == "body" else BODY
    if change == "id":
        headers["webhook-id"] = "id-2"
    if change == "time":
        headers["webhook-timestamp"] = str(int(now.timestamp()) + 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret() if change == "secret" else secret).verify(body, headers)


def test_during_rotation_either_secret_verifies() -> None:
    old, new = new_secret(), new_secret()
    headers = signed_headers("id-1", datetime.now(UTC), BODY, [new, old])
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        Webhook(secret).verify(BODY, headers)


def test_a_replaced_secret_signs_until_its_overlap_ends() -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    stored = [
        {"secret": "new", "expires_at": None},
        {"secret": "old", "expires_at": (now + timedelta(hours=1)).isoformat()},
        {"secret": "older", "expires_at": (now - timedelta(hours=1)).isoformat()},
    ]
    assert live_secrets(stored, now) == ("new", "old")


@pytest.mark.parametrize("secret", ["plain", "whsec_!!!", "whsec_c2hvcnQ=", "whsec_" + "QUFB" * 30])
def test_what_is_no_secret_is_named_and_not_repeated(secret: str) -> None:
    fault = secret_fault(secret)
    assert fault
    assert secret not in fault


def test_new_secrets_are_secrets() -> None:
    assert secret_fault(new_secret()) is None
    assert new_secret() != new_secret()
