"""What a run's creation makes of Prefect's answers: outages, refusals, deployments that moved."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from datalab.bus.publisher import RecordRef
from schemas.envelope import Event
from services.bridge.app import is_transient
from services.bridge.deployments import DeploymentMissingError, Deployments
from services.bridge.prefect_http import PrefectAwayError, PrefectHttp, PrefectRefusedError
from services.bridge.prefect_runs import RunCreator, Wanted
from tests.support.clocks import StandingClock

REF = RecordRef("lab.files", 0, 7)
EVENT = Event(id="e1", source="/test", type="lab.file.arrived.v1", time=datetime(2026, 1, 1, tzinfo=UTC), data={"n": 1})


def prefect(answer: Callable[[httpx.Request], httpx.Response]) -> PrefectHttp:
    return PrefectHttp(httpx.AsyncClient(transport=httpx.MockTransport(answer)), "http://prefect/api/")


def creator(answer: Callable[[httpx.Request], httpx.Response]) -> RunCreator:
    http = prefect(answer)
    return RunCreator(http, Deployments(http, StandingClock()))


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408, 401, 403])
async def test_an_answer_that_is_an_outage_is_tried_for_ever(status: int) -> None:
    with pytest.raises(PrefectAwayError) as raised:
        await prefect(lambda _: httpx.Response(status)).get("/x")
    assert is_transient(raised.value)


@pytest.mark.parametrize("status", [400, 409, 422])
async def test_an_answer_that_is_a_refusal_is_not(status: int) -> None:
    with pytest.raises(PrefectRefusedError, match="because of this") as raised:
        await prefect(lambda _: httpx.Response(status, json={"detail": "because\n of this"})).get("/x")
    assert not is_transient(raised.value)


@pytest.mark.parametrize("status", [200, 307])
async def test_what_is_not_prefect_is_an_outage_of_prefect(status: int) -> None:
    with pytest.raises(PrefectAwayError, match="is not Prefect") as raised:
        await prefect(lambda _: httpx.Response(status, html="<p>a proxy's page</p>")).get("/x")
    assert is_transient(raised.value)


async def test_no_answer_does_not_give_away_the_address() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"no route to {request.url}")

    with pytest.raises(PrefectAwayError) as raised:
        await prefect(fail).get("/x")
    assert "prefect/api" not in str(raised.value)


async def test_a_deployment_that_was_registered_anew_is_found_at_once() -> None:
    ids = iter(["old", "new"])

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        if path == "/api/deployments/name/a%20flow/d":
            return httpx.Response(200, json={"id": next(ids)})
        assert path.startswith("/api/deployments/")
        return httpx.Response(404 if "/old/" in path else 201, json={"id": "run1"})

    assert await creator(answer).create("a flow/d", Wanted("key", {}, [])) == "run1"


async def test_a_name_that_prefect_does_not_know_is_a_missing_deployment() -> None:
    with pytest.raises(DeploymentMissingError, match="'f/d' is not registered"):
        await creator(lambda _: httpx.Response(404, json={"detail": "no"})).create("f/d", Wanted("key", {}, []))


async def test_parameters_that_do_not_fit_are_judged_by_the_schema_as_it_is_now() -> None:
    text, number = ({"properties": {"n": {"type": type_}}} for type_ in ("string", "integer"))
    schemas = iter([text, number, number, text])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(201, json={"id": "run1", "results": [{"flow_run_id": "run2"}]})
        return httpx.Response(
            200, json={"id": "d1", "parameter_openapi_schema": next(schemas), "enforce_parameter_schema": True}
        )

    runs = creator(answer)
    assert await runs.create("f/d", Wanted("key", {"n": 1}, [])) == "run1"
    assert await runs.create_many("f/d", [Wanted("a", {"n": "text"}, [])]) == [None], "no request is made for it"
    assert await runs.create_many("f/d", [Wanted("a", {"n": "text"}, [])]) == ["run2"]
