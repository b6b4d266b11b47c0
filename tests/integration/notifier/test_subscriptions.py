"""Subscriptions: consent before anything is sent, matchers, order, signatures, secrets at rest, and what is missed."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook

from schemas.datasets import DatasetUpdated
from schemas.envelope import Event, new_event
from services.notifier.signing import new_secret
from tests.integration.notifier.conftest import StartNotifier
from tests.integration.notifier.parts import Process, Receiver, alert, publish, until

EARLIER = new_secret()


def sql(database_url: str, statement: str, *values: object) -> list[Any]:
    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    return asyncio.run(fetch())


@pytest.fixture(scope="module")
def notifier(start_notifier: StartNotifier, database_url: str, receiver: Receiver) -> Iterator[Process]:
    """With a subscription from the time when secrets were not sealed, and nobody was asked."""
    sql(
        database_url,
        "INSERT INTO notifier_subscriptions (id, name, url, event_types, secrets, active, consent, consented_at) "
        "VALUES ('earlier', 'earlier', $1, '[\"lab.model.*\"]', $2, true, 'earlier', now())",
        f"{receiver.url}/earlier",
        json.dumps([{"secret": EARLIER, "expires_at": None}]),
    )
    with start_notifier(NOTIFIER_DISABLE_AFTER_HOURS="0.001", NOTIFIER_RETRY_S="0.5,0.5,2,2,2") as started:
        yield started


def subscribe(notifier: Process, url: str, **more: Any) -> dict[str, Any]:
    body = {"name": f"sub-{uuid.uuid4().hex[:8]}", "url": url, "event_types": ["lab.dataset.*"], **more}
    answer = httpx.post(f"{notifier.url}/v1/subscriptions", json=body, timeout=60)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def remove(notifier: Process, subscription: dict[str, Any]) -> None:
    httpx.delete(f"{notifier.url}/v1/subscriptions/{subscription['id']}", timeout=60).raise_for_status()


def ended(notifier: Process, subscription: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Its deliveries, the oldest first, once so many have ended."""

    def finished() -> list[dict[str, Any]]:
        found = notifier.get("/v1/deliveries", subscription_id=subscription["id"])["deliveries"]
        done = [one for one in found if one["status"] != "pending"]
        return done[::-1] if len(done) >= count else []

    return until(finished, what=f"{count} deliveries ended")


def updated(dataset: str) -> Event:
    data = DatasetUpdated(dataset=dataset, layer="gold", table="/lake/gold", version=1, rows_in=9, rows_written=9)
    return new_event(data, source="test/flows")


def test_nothing_is_sent_to_an_endpoint_that_has_not_agreed(
    notifier: Process, receiver: Receiver, kafka_bootstrap: str
) -> None:
    receiver.agrees_to = "somebody-else.example"
    subscription = subscribe(notifier, f"{receiver.url}/unasked")
    assert subscription["consent"] is None
    assert "WebHook-Allowed-Origin: dataflow-lab" in subscription["consent_reason"]
    event = updated("unasked")
    publish(kafka_bootstrap, event)
    # Events of before this module come, too; only this one is the test's.
    missed = until(
        lambda: next((d for d in ended(notifier, subscription, 1) if d["event_id"] == event.id), None), what="its row"
    )
    assert missed["status"] == "suppressed"
    assert "has not agreed to receive" in missed["reason"]
    refused = httpx.post(f"{notifier.url}/v1/subscriptions/{subscription['id']}:test", timeout=60)
    assert refused.status_code == 409
    challenges = receiver.at("/unasked")
    assert [json.loads(r.body)["type"] for r in challenges] == ["lab.subscription.challenge.v1"]
    assert not any("webhook-id" in r.headers for r in challenges)

    receiver.agrees_to = "other.example, DataFlow-Lab"
    asked = httpx.post(f"{notifier.url}/v1/subscriptions/{subscription['id']}:handshake", timeout=60).json()
    assert (asked["consent"], asked["consent_reason"]) == ("handshake", None)
    httpx.post(f"{notifier.url}/v1/deliveries/{missed['id']}:replay", timeout=60).raise_for_status()
    until(lambda: len(receiver.at("/unasked")) == 2, what="what was missed")
    Webhook(subscription["secret"]).verify(receiver.at("/unasked")[1].body, receiver.at("/unasked")[1].headers)
    receiver.agrees_to = "*"
    remove(notifier, subscription)


def test_an_endpoint_that_repeats_the_challenge_has_agreed(notifier: Process, receiver: Receiver) -> None:
    receiver.agrees_to = "nobody"
    subscription = subscribe(notifier, f"{receiver.url}/echo")
    assert subscription["consent"] == "challenge"
    receiver.agrees_to = "*"
    remove(notifier, subscription)


def test_only_alerts_that_match_are_sent(notifier: Process, receiver: Receiver, kafka_bootstrap: str) -> None:
    match = {"severity": "critical", "labels": {"dataset": "stocks*"}}
    subscription = subscribe(notifier, f"{receiver.url}/matching", event_types=["lab.alert.*"], match=match)
    assert subscription["match"]["severity"] == ["critical"]
    unwanted = [alert(f"fp-{uuid.uuid4().hex[:8]}"), alert(f"fp-{uuid.uuid4().hex[:8]}", labels={"dataset": "sales"})]
    wanted = new_event(alert(f"fp-{uuid.uuid4().hex[:8]}", severity="critical"), source="test/monitor")
    publish(kafka_bootstrap, *(new_event(one, source="test/monitor") for one in unwanted), wanted, updated("stocks"))
    assert [d["event_id"] for d in ended(notifier, subscription, 1)] == [wanted.id]
    remove(notifier, subscription)


def test_an_ordered_subscription_gets_one_after_the_other(
    notifier: Process, receiver: Receiver, kafka_bootstrap: str
) -> None:
    receiver.script["/in-order"] = [500, 500, 200]
    subscription = subscribe(notifier, f"{receiver.url}/in-order", ordering="all")
    events = [updated("one-key") for _ in range(5)]
    publish(kafka_bootstrap, *events)
    ended(notifier, subscription, 5)
    came = [json.loads(r.body)["id"] for r in receiver.at("/in-order")]
    assert came == [events[0].id] * 2 + [event.id for event in events]
    remove(notifier, subscription)


def test_an_ed25519_signature_verifies_with_the_public_key(notifier: Process, receiver: Receiver) -> None:
    subscription = subscribe(notifier, f"{receiver.url}/signed", signature="v1+v1a")
    httpx.post(f"{notifier.url}/v1/subscriptions/{subscription['id']}:test", timeout=60).raise_for_status()
    until(lambda: receiver.at("/signed"), what="the test message")
    request = receiver.at("/signed")[0]
    Webhook(subscription["secret"]).verify(request.body, request.headers)
    kinds = dict(one.split(",", 1) for one in request.headers["webhook-signature"].split(" "))
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(subscription["public_key"].removeprefix("whpk_")))
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    key.verify(base64.b64decode(kinds["v1a"]), content)
    remove(notifier, subscription)


def test_secrets_lie_sealed_also_those_of_before(notifier: Process, receiver: Receiver, database_url: str) -> None:
    subscription = subscribe(notifier, f"{receiver.url}/sealed", signature="v1+v1a")
    kept = " ".join(str(row["secrets"]) for row in sql(database_url, "SELECT secrets FROM notifier_subscriptions"))
    assert kept.count("sealed:") >= 3
    for open_ in ("whsec_", "whsk_", EARLIER.removeprefix("whsec_"), subscription["secret"].removeprefix("whsec_")):
        assert open_ not in kept
    httpx.post(f"{notifier.url}/v1/subscriptions/earlier:test", timeout=60).raise_for_status()
    until(lambda: receiver.at("/earlier"), what="the test message")
    Webhook(EARLIER).verify(receiver.at("/earlier")[0].body, receiver.at("/earlier")[0].headers)
    remove(notifier, subscription)


def test_an_endpoint_that_fails_for_too_long_is_switched_off_and_its_owner_hears(
    notifier: Process, receiver: Receiver, inbox: Process, kafka_bootstrap: str
) -> None:
    receiver.script["/fails"] = [503]
    owner = f"owner-{uuid.uuid4().hex[:8]}@datalab.example"
    subscription = subscribe(notifier, f"{receiver.url}/fails", owner=owner)
    publish(kafka_bootstrap, updated("fails"))
    until(lambda: not shown(notifier, subscription)["active"], what="switched off")
    off = shown(notifier, subscription)
    assert off["disabled_reason"].startswith("every delivery has failed since ")
    mails = until(lambda: inbox.get("/api/messages", channel="email", contains=owner)["messages"], what="the mail")
    assert subscription["name"] in mails[0]["title"]

    missed = updated("fails-later")
    publish(kafka_bootstrap, missed)
    until(lambda: len(ended(notifier, subscription, 2)) == 2, what="what it misses is in the ledger")
    receiver.script["/fails"] = [200]
    switched = httpx.patch(f"{notifier.url}/v1/subscriptions/{subscription['id']}", json={"active": True}, timeout=60)
    assert (switched.json()["active"], switched.json()["failing_since"]) == (True, None)
    replay = {"subscription_id": subscription["id"], "per_s": 100}
    assert httpx.post(f"{notifier.url}/v1/deliveries:replay", json=replay, timeout=60).json()["replayed"] == 2
    until(lambda: all(d["status"] == "delivered" for d in ended(notifier, subscription, 2)), what="both arrived")
    resolved = until(
        lambda: [m for m in inbox.get("/api/messages", channel="email", contains=owner)["messages"] if m != mails[0]],
        what="the mail that all is well",
    )
    assert subscription["name"] in resolved[0]["title"]
    remove(notifier, subscription)


def shown(notifier: Process, subscription: dict[str, Any]) -> dict[str, Any]:
    return dict(notifier.get(f"/v1/subscriptions/{subscription['id']}"))


def test_a_replay_keeps_its_rate(notifier: Process, receiver: Receiver, kafka_bootstrap: str) -> None:
    subscription = subscribe(notifier, f"{receiver.url}/rate")
    httpx.patch(f"{notifier.url}/v1/subscriptions/{subscription['id']}", json={"active": False}, timeout=60)
    publish(kafka_bootstrap, *(updated(f"rate-{number}") for number in range(12)))
    ended(notifier, subscription, 12)
    httpx.patch(f"{notifier.url}/v1/subscriptions/{subscription['id']}", json={"active": True}, timeout=60)
    body = {"subscription_id": subscription["id"], "per_s": 5}
    begun = time.monotonic()
    answer = httpx.post(f"{notifier.url}/v1/deliveries:replay", json=body, timeout=60).json()
    assert answer == {"replayed": 12, "over_s": pytest.approx(2.2)}
    until(lambda: len(receiver.at("/rate")) == 12, what="all of them")
    assert time.monotonic() - begun >= 2.2
    again = httpx.post(f"{notifier.url}/v1/deliveries:replay", json=body, timeout=60).json()
    assert again["replayed"] == 0
    everything = httpx.post(f"{notifier.url}/v1/deliveries:replay", json={}, timeout=60)
    assert everything.status_code == 422
    remove(notifier, subscription)


def test_an_endpoint_gets_no_more_than_it_allows(notifier: Process, receiver: Receiver, kafka_bootstrap: str) -> None:
    receiver.allowed_rate = "240"
    subscription = subscribe(notifier, f"{receiver.url}/allowed")
    assert subscription["allowed_per_min"] == 240
    begun = time.monotonic()
    publish(kafka_bootstrap, *(updated(f"allowed-{number}") for number in range(12)))
    delivered = ended(notifier, subscription, 12)
    assert {one["status"] for one in delivered} == {"delivered"}
    assert time.monotonic() - begun >= 2.0  # four at once, and four a second

    # Nor by a replay that would be faster.
    again = {"subscription_id": subscription["id"], "status": ["delivered"], "per_s": 1000}
    begun = time.monotonic()
    httpx.post(f"{notifier.url}/v1/deliveries:replay", json=again, timeout=60).raise_for_status()
    until(lambda: len(receiver.at("/allowed")) == 24, what="all of them again")
    assert time.monotonic() - begun >= 11 / 4
    receiver.allowed_rate = "*"
    asked = httpx.post(f"{notifier.url}/v1/subscriptions/{subscription['id']}:handshake", timeout=60).json()
    assert asked["allowed_per_min"] is None
    remove(notifier, subscription)


def test_a_rate_that_cannot_be_read_is_no_consent(notifier: Process, receiver: Receiver) -> None:
    receiver.allowed_rate = "often"
    subscription = subscribe(notifier, f"{receiver.url}/often")
    receiver.allowed_rate = "*"
    assert subscription["consent"] is None
    assert subscription["consent_reason"].startswith("WebHook-Allowed-Rate must be * or a whole number")
    remove(notifier, subscription)


def test_removing_what_was_switched_off_ends_its_alert(
    notifier: Process, receiver: Receiver, kafka_bootstrap: str
) -> None:
    receiver.script["/gone"] = [410]
    subscription = subscribe(notifier, f"{receiver.url}/gone")
    publish(kafka_bootstrap, updated("gone"))

    def told() -> list[str]:
        alerts = notifier.get("/v1/alerts", page_size=500)["alerts"]
        return [one["status"] for one in alerts if one["labels"].get("subscription") == subscription["name"]]

    until(lambda: told() == ["firing"], what="the alert that it is off")
    remove(notifier, subscription)
    until(lambda: told() == ["resolved"], what="its end")
