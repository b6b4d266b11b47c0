"""Requests made up from the OpenAPI description, valid ones and wrong ones: each is answered in time, none with 5xx."""

from __future__ import annotations

import uuid

from schemas.envelope import new_event
from tests.integration.notifier.conftest import StartNotifier
from tests.integration.notifier.parts import alert, publish
from tests.support.notifier_requests import ask_notifier


def test_no_request_is_a_fault_of_ours(start_notifier: StartNotifier, kafka_bootstrap: str) -> None:
    fingerprint = f"fp-{uuid.uuid4().hex[:8]}"
    publish(kafka_bootstrap, new_event(alert(fingerprint), source="test/monitor"))
    with start_notifier(NOTIFIER_DEADLINE_S="2") as notifier:
        ask_notifier(notifier.url, fingerprint, "team-slack", examples=12)
        assert notifier.popen.poll() is None, "the service did not outlive the requests"
