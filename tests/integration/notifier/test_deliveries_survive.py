"""Receivers that fail and processes that are killed: every delivery ends in a named state, and the books balance."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from schemas.datasets import DatasetUpdated
from schemas.envelope import Event, new_event
from tests.integration.notifier.conftest import StartNotifier
from tests.integration.notifier.parts import Process, Receiver, alert, publish, until


@pytest.fixture(scope="module")
def notifier(start_notifier: StartNotifier) -> Iterator[Process]:
    with start_notifier(NOTIFIER_DEADLINE_S="2", NOTIFIER_LEASE_S="6") as started:
        yield started


def updated(dataset: str) -> Event:
    data = DatasetUpdated(dataset=dataset, layer="gold", table="/lake/gold", version=1, rows_in=9, rows_written=9)
    return new_event(data, source="test/flows")


def subscribe(notifier: Process, url: str, types: list[str]) -> dict[str, Any]:
    name = f"sub-{uuid.uuid4().hex[:8]}"
    body = {"name": name, "url": url, "event_types": types}
    answer = httpx.post(f"{notifier.url}/v1/subscriptions", json=body, timeout=60)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def ended(notifier: Process, **filters: str) -> dict[str, Any]:
    def finished() -> dict[str, Any] | None:
        found = notifier.get("/v1/deliveries", **filters)["deliveries"]
        return found[0] if found and found[0]["status"] != "pending" else None

    return until(finished, what=f"the delivery of {filters} finished") or {}


@pytest.fixture
def wanted(kafka_bootstrap: str) -> Event:
    return updated(f"stocks-{uuid.uuid4().hex[:6]}")


def only(notifier: Process, receiver: Receiver, path: str, script: list[int | None]) -> dict[str, Any]:
    """A subscription of its own, so that a test sees its own deliveries alone."""
    receiver.script[path] = script
    return subscribe(notifier, receiver.url + path, ["lab.dataset.*"])


def pending(notifier: Process, subscription: dict[str, Any]) -> list[dict[str, Any]]:
    filters = {"subscription_id": subscription["id"], "status": "pending"}
    return list(notifier.get("/v1/deliveries", **filters)["deliveries"])


def remove(notifier: Process, subscription: dict[str, Any]) -> None:
    httpx.delete(f"{notifier.url}/v1/subscriptions/{subscription['id']}", timeout=60).raise_for_status()


def test_a_failing_receiver_is_tried_again_under_the_same_id(
    notifier: Process, receiver: Receiver, kafka_bootstrap: str, wanted: Event
) -> None:
    subscription = only(notifier, receiver, "/flaky", [500, 429, 200])
    publish(kafka_bootstrap, wanted)
    delivery = ended(notifier, subscription_id=subscription["id"])
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 3)
    requests = receiver.at("/flaky")
    assert {r.headers["webhook-id"] for r in requests} == {delivery["id"]}
    for request in requests:
        Webhook(subscription["secret"]).verify(request.body, request.headers)
    detail = notifier.get(f"/v1/deliveries/{delivery['id']}")
    assert [(a["outcome"], a["status_code"]) for a in detail["attempt_log"]] == [
        ("retry", 500),
        ("retry", 429),
        ("delivered", 200),
    ]
    remove(notifier, subscription)


def test_a_refusal_is_final_and_says_why(
    notifier: Process, receiver: Receiver, kafka_bootstrap: str, wanted: Event
) -> None:
    subscription = only(notifier, receiver, "/absent-path-that-is-secret", [404])
    publish(kafka_bootstrap, wanted)
    delivery = ended(notifier, subscription_id=subscription["id"])
    assert (delivery["status"], delivery["reason"], delivery["attempts"]) == ("dead", "HTTP 404: as told", 1)
    assert "absent-path-that-is-secret" not in notifier.log.read_text()
    receiver.script["/absent-path-that-is-secret"] = [200]
    httpx.post(f"{notifier.url}/v1/deliveries/{delivery['id']}:replay", timeout=60).raise_for_status()
    assert ended(notifier, subscription_id=subscription["id"])["status"] == "delivered"
    remove(notifier, subscription)


def test_gone_disables_the_subscription_and_keeps_what_it_misses(
    notifier: Process, receiver: Receiver, kafka_bootstrap: str, wanted: Event
) -> None:
    subscription = only(notifier, receiver, "/gone", [410])
    publish(kafka_bootstrap, wanted)
    assert ended(notifier, subscription_id=subscription["id"])["status"] == "dead"

    def disabled() -> dict[str, Any] | None:
        shown: dict[str, Any] = notifier.get(f"/v1/subscriptions/{subscription['id']}")
        return None if shown["active"] else shown

    off = until(disabled, what="the subscription is disabled")
    assert off is not None
    assert off["disabled_reason"] == "the receiver answered 410 Gone"
    later = updated("stocks-later")
    publish(kafka_bootstrap, later)
    missed = ended(notifier, subscription_id=subscription["id"], event_id=later.id)
    assert missed["status"] == "suppressed"
    assert "disabled" in missed["reason"]
    remove(notifier, subscription)


def test_a_hanging_receiver_delays_nobody_else(
    notifier: Process, receiver: Receiver, kafka_bootstrap: str, wanted: Event
) -> None:
    hanging = only(notifier, receiver, "/hangs", [None])
    healthy = only(notifier, receiver, "/healthy", [200])
    publish(kafka_bootstrap, *(updated(f"stocks-{n}") for n in range(12)), wanted)
    until(lambda: len(receiver.at("/healthy")) == 13, seconds=20, what="all of the healthy receiver's events")
    waiting = notifier.get("/v1/deliveries", subscription_id=hanging["id"], status="pending")["deliveries"]
    assert waiting, "the hanging receiver's deliveries must still be under way when the healthy one has all"
    until(lambda: any(d["reason"] for d in pending(notifier, hanging)), what="a recorded failure")
    assert {d["reason"] for d in pending(notifier, hanging)} <= {None, "no answer within 2 s"}
    # Of the process's 10 places the hanging one may hold 4, and a claim that came meanwhile.
    assert 1 <= receiver.peaks["/hangs"] <= 7
    remove(notifier, hanging)
    assert notifier.get("/v1/deliveries", status="pending", target=hanging["name"])["deliveries"] == []
    remove(notifier, healthy)


def test_a_private_address_is_refused(notifier: Process) -> None:
    body = {"name": "inside", "url": "https://10.0.0.1/hook", "event_types": ["*"]}
    answer = httpx.post(f"{notifier.url}/v1/subscriptions", json=body, timeout=60)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("url: 10.0.0.1:443 is a private address")


def test_the_same_subscription_again_is_the_same(notifier: Process, receiver: Receiver) -> None:
    created = subscribe(notifier, f"{receiver.url}/same", ["lab.model.*"])
    body = {"name": created["name"], "url": f"{receiver.url}/same", "event_types": ["lab.model.*"]}
    again = httpx.post(f"{notifier.url}/v1/subscriptions", json=body, timeout=60)
    assert (again.status_code, again.json()["id"], again.json()["secret"]) == (200, created["id"], None)
    other = httpx.post(f"{notifier.url}/v1/subscriptions", json={**body, "url": f"{receiver.url}/b"}, timeout=60)
    assert other.status_code == 409
    assert "/same" not in other.text
    remove(notifier, created)


def test_rotation_signs_with_both_secrets(notifier: Process, receiver: Receiver) -> None:
    created = subscribe(notifier, f"{receiver.url}/rotating", ["lab.model.*"])
    key = created["name"]
    rotated = httpx.post(f"{notifier.url}/v1/subscriptions/{key}:rotate-secret", timeout=60).json()
    assert rotated["secret"] != created["secret"]
    sent = httpx.post(f"{notifier.url}/v1/subscriptions/{key}:test", timeout=60)
    assert sent.status_code == 202
    until(lambda: receiver.at("/rotating"), what="the test message")
    request = receiver.at("/rotating")[0]
    for secret in (created["secret"], rotated["secret"]):
        Webhook(secret).verify(request.body, request.headers)
    remove(notifier, created)


def test_a_resolution_never_overtakes_its_alert(notifier: Process, receiver: Receiver, kafka_bootstrap: str) -> None:
    """The firing event fails twice; the resolution is due meanwhile and has to wait for it."""
    receiver.script["/ordered"] = [500, 500, 200]
    subscription = subscribe(notifier, f"{receiver.url}/ordered", ["lab.alert.*"])
    fingerprint = f"fp-{uuid.uuid4().hex[:8]}"
    events = [new_event(alert(fingerprint, resolved=r), source="test/monitor") for r in (False, True)]
    for event in events:
        publish(kafka_bootstrap, event)
    ended(notifier, subscription_id=subscription["id"], event_id=events[1].id)
    assert [json.loads(r.body)["id"] for r in receiver.at("/ordered")] == [events[0].id] * 3 + [events[1].id]
    remove(notifier, subscription)


def test_outcomes_can_be_subscribed_to_without_an_echo(
    notifier: Process, receiver: Receiver, kafka_bootstrap: str, wanted: Event
) -> None:
    listener = subscribe(notifier, f"{receiver.url}/outcomes", ["lab.notification.*"])
    subscription = only(notifier, receiver, "/reported", [200])
    publish(kafka_bootstrap, wanted)
    delivery = ended(notifier, subscription_id=subscription["id"])
    report = ended(notifier, subscription_id=listener["id"])
    assert report["status"] == "delivered"

    def reports() -> list[dict[str, Any]]:
        return [json.loads(r.body)["data"] for r in receiver.at("/outcomes")]

    # Alerts of tests before may still be told, each in its target's turn: their outcomes come here too.
    about = until(lambda: [one for one in reports() if one["event_id"] == wanted.id], what="the outcome")
    assert [one["delivery_id"] for one in about] == [delivery["id"]]
    # The next outcome comes through the same topic, so an echo of the first would have arrived before it.
    later = updated("stocks-after")
    publish(kafka_bootstrap, later)
    until(lambda: any(one["event_id"] == later.id for one in reports()), what="the next outcome")
    assert report["event_id"] not in [one["event_id"] for one in reports()]
    remove(notifier, listener)
    remove(notifier, subscription)


def test_two_instances_share_the_work_and_send_once(
    start_notifier: StartNotifier, notifier: Process, receiver: Receiver, kafka_bootstrap: str
) -> None:
    events = [updated(f"stocks-{n}") for n in range(60)]
    # So slow that one alone is at it for seconds: long enough for the other to take its share.
    receiver.slow["/shared"] = 0.2
    with start_notifier(NOTIFIER_DEADLINE_S="5") as second:
        subscription = only(second, receiver, "/shared", [200])
        publish(kafka_bootstrap, *events)
        until(lambda: len(receiver.at("/shared")) >= 60, what="all events")
        until(lambda: not pending(second, subscription), what="nothing pending")
        ids = [r.headers["webhook-id"] for r in receiver.at("/shared")]
        assert len(ids) == len(set(ids)) == 60
        delivered = notifier.get("/v1/deliveries", subscription_id=subscription["id"], status="delivered")
        assert {d["id"] for d in delivered["deliveries"]} == set(ids)
        by_whom = [sum(one in p.log.read_text() for one in ids) for p in (notifier, second)]
        assert all(by_whom), f"both must have sent some: {by_whom}"
        assert second.get("/v1/ledger")["balanced"]
        remove(notifier, subscription)


def test_a_kill_between_send_and_record_sends_again_under_the_same_id(
    start_notifier: StartNotifier, notifier: Process, receiver: Receiver, kafka_bootstrap: str, wanted: Event
) -> None:
    """The receiver has the request and has not answered when the process that sent it dies by kill -9."""
    subscription = only(notifier, receiver, "/killed", [None, 200])
    receiver.at_once["/killed"] = notifier.popen.kill
    publish(kafka_bootstrap, wanted)
    until(lambda: receiver.at("/killed"), what="the first request")
    notifier.popen.wait()
    # A group of its own reads every topic from the beginning: what is stored already must not be stored again.
    with start_notifier(NOTIFIER_GROUP=f"successor-{uuid.uuid4().hex[:8]}") as successor:
        delivery = ended(successor, subscription_id=subscription["id"], event_id=wanted.id)
        assert (delivery["status"], delivery["attempts"]) == ("delivered", 2)
        sent = [r.headers["webhook-id"] for r in receiver.at("/killed") if wanted.id.encode() in r.body]
        assert sent == [delivery["id"]] * 2
        log = successor.get(f"/v1/deliveries/{delivery['id']}")["attempt_log"]
        assert [a["outcome"] for a in log] == ["unknown", "delivered"]
        assert successor.get("/v1/ledger")["balanced"]
