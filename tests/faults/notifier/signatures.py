"""What receivers verify, by the public verifier and with the public key, also while a secret is replaced."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.faults.notifier.kills import missing_of
from tests.faults.notifier.lab import FaultLab
from tests.faults.notifier.receiver import SIGNED
from tests.faults.notifier.toll import Toll, Tolls
from tests.support.polling import eventually

_ALERTS = 100


async def signed_deliveries(lab: FaultLab) -> Tolls:
    """A subscription that wants both kinds of signature gets alerts before and after its keys are replaced."""
    async with lab.ready():
        await lab.caught_up()  # what other scenarios have published is not for the subscription
        made = await lab.subscribe(f"{lab.alerts.url}{SIGNED}", ["lab.alert.*"], signature="v1+v1a")
        await _received(lab)
        first, lab.alerts.signed = lab.alerts.signed, []
        rotated = await lab.post(f"/v1/subscriptions/{made['id']}:rotate-secret", None)
        await _received(lab)
    later = lab.alerts.signed
    for secret, deliveries in ((made["secret"], first + later), (rotated["secret"], later)):
        for headers, body in deliveries:
            Webhook(secret).verify(body, headers)
    keys = [made["public_key"], rotated["public_key"]]
    assert all(_ed25519(keys[0], *delivery) for delivery in first + later)
    assert all(_ed25519(keys[1], *delivery) for delivery in later)
    changed = [_changed(made["secret"], keys[0], headers, body) for headers, body in first]
    return {
        "HMAC, by the public verifier": Toll(1, _ALERTS, 0, 0, f"{len(first)} of {_ALERTS} verify"),
        "ed25519, with the public key": Toll(1, 0, 0, 0, f"{len(first)} of {_ALERTS} verify"),
        "keys are replaced": Toll(1, _ALERTS, 0, 0, f"{len(later)} of {_ALERTS} verify with the old and the new"),
        "body, id, time or key are changed": Toll(4, 0, 0, 0, f"0 of {sum(changed)} verify"),
    }


async def _received(lab: FaultLab) -> None:
    sent = await lab.publish(_ALERTS)
    await eventually(missing_of(lab, sent), until=lambda missing: missing == 0, within_s=120)
    await lab.settled()
    assert {json.loads(body)["id"] for _, body in lab.alerts.signed} == set(sent)


def _ed25519(public_key: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether one of the `v1a` signatures is of this key (`whpk_…`), by RFC 8032 over `id.timestamp.body`."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    content = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
    for signature in headers["webhook-signature"].split(" "):
        kind, _, text = signature.partition(",")
        try:
            if kind == "v1a":
                key.verify(base64.b64decode(text), content)
                return True
        except InvalidSignature:
            continue
    return False


def _changed(secret: str, public_key: str, headers: Mapping[str, str], body: bytes) -> int:
    """Fail if anything verifies that was changed on the way; how many changes were tried."""
    later = str(int(headers["webhook-timestamp"]) + 1)
    tries = [
        (secret, dict(headers), body + b" "),
        (secret, {**headers, "webhook-id": "another"}, body),
        (secret, {**headers, "webhook-timestamp": later}, body),
        ("whsec_" + base64.b64encode(b"x" * 32).decode(), dict(headers), body),
    ]
    for key, with_headers, with_body in tries:
        try:
            Webhook(key).verify(with_body, with_headers)
        except WebhookVerificationError:
            continue
        raise AssertionError("a changed delivery verifies")
    assert not any(_ed25519(public_key, with_headers, with_body) for _, with_headers, with_body in tries[:3])
    return len(tries)
