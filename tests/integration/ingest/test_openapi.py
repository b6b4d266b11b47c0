"""Requests made up from the OpenAPI description, valid ones and wrong ones: each is answered in time, none with 5xx."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from schemathesis.core.transport import Response

from tests.support.made_up import described
from tests.support.processes import running_ingest

EXAMPLES = {("POST", "/v1/events"): 250, ("PUT", "/v1/schemas/{type}"): 60}
# Each with the answers that the made-up requests must have drawn, or they would prove nothing.
OPERATIONS = {
    ("POST", "/v1/events"): {202, 400, 415, 422},
    ("PUT", "/v1/schemas/{type}"): {201, 422},
    ("GET", "/v1/schemas/{type}"): {404, 422},
    ("GET", "/v1/schemas"): {200},
    ("GET", "/v1/topics"): {200},
    ("GET", "/v1/files"): {200, 422},
    ("GET", "/livez"): {200},
    ("GET", "/readyz"): {200},
    ("GET", "/metrics"): {200},
}


@pytest.fixture(scope="module")
def url(kafka_bootstrap: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    environ = {"KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap, "DATABASE_URL": database_url}
    with running_ingest(tmp_path_factory.mktemp("ingest"), environ) as (url, process):
        yield url
        assert process.poll() is None, "the service did not outlive the requests"


def operations(url: str) -> dict[tuple[str, str], schemathesis.APIOperation]:
    return {(one.ok().method.upper(), one.ok().path): one.ok() for one in described(url).get_all_operations()}


def test_every_operation_is_made_up(url: str) -> None:
    assert set(operations(url)) == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))
def test_no_request_is_a_fault_of_ours(url: str, method: str, path: str) -> None:
    operation = operations(url)[method, path]
    answers: set[int] = set()

    @settings(
        max_examples=EXAMPLES.get((method, path), 40),
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=_cases(operation))
    def ask(case: schemathesis.Case) -> None:
        answer: Response = case.call(base_url=url, timeout=60)
        answers.add(answer.status_code)
        assert answer.status_code < 500, (case.as_curl_command(), answer.text[:500])
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == ["application/problem+json"], case.as_curl_command()

    ask()
    assert answers >= OPERATIONS[method, path], answers
    # Nothing that was sent has broken what others get.
    assert httpx.get(f"{url}/readyz", timeout=60, trust_env=False).status_code == 200


def _cases(operation: schemathesis.APIOperation) -> strategies.SearchStrategy[schemathesis.Case]:
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    return strategies.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))
