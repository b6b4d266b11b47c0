"""Whatever a service does, a page gets an answer, a refusal by field, or who is away and why."""

from __future__ import annotations

import httpx
import pytest

from services.dashboard.answers.monitor import Rule, Rules
from services.dashboard.client import RefusedError, Rest, ServiceAwayError, segment
from services.dashboard.look import Look, Service
from services.dashboard.settings import DashboardSettings
from tests.unit.dashboard.answers import RULE, Services

URL = "http://127.0.0.1:8083"


def rest(answer: httpx.Response | Exception) -> Rest:
    def respond(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Rest("monitor", URL, httpx.Client(transport=httpx.MockTransport(respond)))


def test_parameters_that_are_not_given_are_left_out() -> None:
    services = Services({"/v1/rules": {"rules": [RULE]}})
    Rest("monitor", URL, services.client()).get("/v1/rules", Rules, state=None, page_size=5)

    assert services.queries("/v1/rules") == [{"page_size": "5"}]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.ConnectError("refused"), "ConnectError"),
        (httpx.ReadTimeout("slow"), "no answer in time"),
        (httpx.RemoteProtocolError("cut"), "RemoteProtocolError"),
        (httpx.Response(503, json={"detail": "starting"}), "503"),
        (httpx.Response(302, headers={"location": "http://elsewhere"}), "302"),
        (httpx.Response(200, text="<html>"), "form"),
        (httpx.Response(200, json={"rules": 5}), "form"),
    ],
)
def test_no_usable_answer_means_away_with_a_reason(answer: httpx.Response | Exception, reason: str) -> None:
    with pytest.raises(ServiceAwayError, match=reason) as caught:
        rest(answer).get("/v1/rules", Rules)
    assert caught.value.service == "monitor"


def test_a_refusal_names_its_fields() -> None:
    problem = {"detail": "…", "errors": [{"field": "body.value", "reason": "must be > 0"}, "odd", {"reason": "?"}]}
    with pytest.raises(RefusedError) as caught:
        rest(httpx.Response(422, json=problem)).put("/v1/rules/x", Rule, {"enabled": 1})
    assert caught.value.fields == {"value": "must be > 0", "": "?"}


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b"null"])
def test_a_refusal_without_a_problem_says_its_status(body: bytes) -> None:
    with pytest.raises(RefusedError, match="404"):
        rest(httpx.Response(404, content=body)).get("/v1/rules", Rules)


def test_an_id_is_one_segment_whatever_it_holds() -> None:
    assert segment("a/b?c#d e%") == "a%2Fb%3Fc%23d%20e%25"


def test_who_is_away_is_asked_once(services: Services) -> None:
    services.away = {8083}
    look = Look(DashboardSettings(_env_file=None))

    assert [look.ask("monitor", lambda rest: rest.get("/v1/rules", Rules)) for _ in range(3)] == [None] * 3
    assert len(services.asked) == 1
    assert look.away == {"monitor": f"ConnectError at {URL}"}
    assert look.ask("bridge", lambda rest: rest.get("/v1/rules", Rules)) is not None


def test_a_token_is_shown_with_changes_only() -> None:
    services = Services({"/v1/rules": {"rules": [RULE]}, "PUT /v1/rules/x": RULE, "DELETE /v1/rules/x": RULE})
    monitor = Rest("monitor", URL, services.client(), "dlt_planted")
    monitor.get("/v1/rules", Rules)
    monitor.put("/v1/rules/x", Rule, {"enabled": True}, '"1"')
    monitor.delete("/v1/rules/x", Rule)
    shown = [request.headers.get("Authorization") for request in services.asked]
    assert shown == [None, "Bearer dlt_planted", "Bearer dlt_planted"]
    assert services.asked[1].headers["If-Match"] == '"1"'


def test_the_token_of_the_dashboard_is_shown_to_the_monitor_alone(services: Services) -> None:
    look = Look(DashboardSettings.model_validate({"dashboard_token": "dlt_planted"}))
    services.answers["PUT /v1/rules/x"] = RULE
    names: tuple[Service, ...] = ("bridge", "monitor", "notifier")
    for name in names:
        look.service(name).put("/v1/rules/x", Rule, {"enabled": True})
    shown = {request.url.port: request.headers.get("Authorization") for request in services.asked}
    assert shown == {8082: None, 8083: "Bearer dlt_planted", 8084: None}
