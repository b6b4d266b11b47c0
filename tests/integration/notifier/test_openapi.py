"""Requests made up from the OpenAPI description, valid ones and wrong ones: each is answered in time, none with 5xx."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies

from tests.integration.notifier.conftest import StartNotifier
from tests.integration.notifier.parts import Process
from tests.support.made_up import described

EXAMPLES = 30
# Made-up addresses are looked up and called, which takes as long as it takes.
CALLS_OUT = {("POST", "/v1/subscriptions"), ("PATCH", "/v1/subscriptions/{key}")}
EXPECTED = {
    ("GET", "/v1/subscriptions"): {200, 422},
    ("POST", "/v1/subscriptions"): {422},
    ("GET", "/v1/subscriptions/{key}"): {404, 422},
    ("PATCH", "/v1/subscriptions/{key}"): {422},
    ("DELETE", "/v1/subscriptions/{key}"): {404, 422},
    ("POST", "/v1/subscriptions/{key}:handshake"): {404, 422},
    ("POST", "/v1/subscriptions/{key}:rotate-secret"): {404, 422},
    ("POST", "/v1/subscriptions/{key}:test"): {404, 422},
    ("GET", "/v1/deliveries"): {200, 400, 422},
    ("GET", "/v1/deliveries/{delivery_id}"): {404, 422},
    ("POST", "/v1/deliveries/{delivery_id}:replay"): {404, 422},
    ("POST", "/v1/deliveries:replay"): {202, 422},
    ("GET", "/v1/audit"): {200, 422},
    ("GET", "/v1/ledger"): {200},
}


@pytest.fixture(scope="module")
def notifier(start_notifier: StartNotifier) -> Iterator[Process]:
    with start_notifier() as started:
        yield started
        assert started.popen.poll() is None, "the service did not outlive the requests"


def test_no_request_is_a_fault_of_ours(notifier: Process) -> None:
    schema = described(notifier.url)
    met: dict[tuple[str, str], set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        name = (operation.method.upper(), operation.path)
        if name not in EXPECTED:  # requests to silences, receivers and acknowledgements are not made up here
            continue
        met[name] = answers_of(operation, notifier, 8 if name in CALLS_OUT else EXAMPLES)
    for name, expected in EXPECTED.items():
        assert met[name] >= expected, (name, met[name])
    # Nothing that was sent has broken what others get.
    assert httpx.get(f"{notifier.url}/readyz", timeout=10, trust_env=False).status_code == 200


def answers_of(operation: schemathesis.APIOperation, notifier: Process, examples: int) -> set[int]:
    answers: set[int] = set()
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    cases = strategies.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: schemathesis.Case) -> None:
        answer = case.call(base_url=notifier.url, timeout=30)
        answers.add(answer.status_code)
        assert answer.status_code < 500, (case.as_curl_command(), answer.text[:500])
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == ["application/problem+json"], case.as_curl_command()

    ask()
    return answers
