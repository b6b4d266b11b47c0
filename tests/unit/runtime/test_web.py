"""The HTTP face of every service: problems and health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from datalab.runtime.health import Health
from datalab.runtime.web import HEALTH, PROBLEM, Dependency, Problem, create_app


@pytest.fixture
def health() -> Health:
    return Health(deadline_s=0.05)


@pytest.fixture
def app(health: Health) -> FastAPI:
    app = create_app("sample", health)

    @app.get("/busy")
    async def busy() -> None:
        raise Problem(503, "Busy", "come back", headers={"Retry-After": "3"}, queue=7)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("secret inside")

    @app.get("/number/{value}")
    async def number(value: int) -> int:
        return value

    return app


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://sample") as client:
        yield client


async def test_a_problem_has_the_members_of_the_standard_and_its_own(http: httpx.AsyncClient) -> None:
    answer = await http.get("/busy")

    assert (answer.status_code, answer.headers["content-type"]) == (503, PROBLEM)
    assert answer.headers["retry-after"] == "3"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Busy",
        "status": 503,
        "detail": "come back",
        "instance": "/busy",
        "queue": 7,
    }


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", "/busy", 405), ("GET", "/number/x", 422)]
)
async def test_every_refusal_is_a_problem(http: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await http.request(method, path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert (answer.json()["status"], answer.json()["instance"]) == (status, path)


async def test_a_wrong_parameter_is_named(http: httpx.AsyncClient) -> None:
    assert (await http.get("/number/x")).json()["errors"][0]["field"] == "path.value"


async def test_an_unexpected_fault_tells_nothing_of_its_inside(http: httpx.AsyncClient) -> None:
    answer = await http.get("/broken")

    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "secret" not in answer.text


async def test_readiness_names_what_fails_and_why(http: httpx.AsyncClient, health: Health) -> None:
    async def well() -> None:
        return None

    async def unwell() -> str:
        return "no broker"

    async def raising() -> None:
        raise ValueError("wrong")

    async def hanging() -> None:
        await asyncio.sleep(60)

    assert (await http.get("/readyz")).status_code == 200
    for name, check in {"well": well, "unwell": unwell, "raising": raising, "hanging": hanging}.items():
        health.check(name, check)
    answer = await http.get("/readyz")
    outputs = {name: entry[0]["output"] for name, entry in answer.json()["checks"].items()}

    assert (answer.status_code, answer.headers["content-type"]) == (503, HEALTH)
    assert outputs == {"unwell": "no broker", "raising": "ValueError: wrong", "hanging": "no answer within 0.05 s"}
    assert set((await http.get("/readyz?verbose")).json()["checks"]) == {"well", "unwell", "raising", "hanging"}
    assert (await http.get("/livez")).status_code == 200


async def test_a_dependency_that_is_away_is_503_and_its_other_errors_are_ours() -> None:
    needs = Dependency("Store", (LookupError,), lambda error: str(error) == "away")
    app = create_app("sample", Health(), needs=needs)

    @app.get("/{word}")
    async def fail(word: str) -> None:
        raise KeyError(word) if word == "other" else LookupError(word)

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://sample") as client:
        away, other = await client.get("/away"), await client.get("/other")

    assert (away.status_code, away.headers["content-type"], away.headers["retry-after"]) == (503, PROBLEM, "5")
    assert "Store" in away.json()["detail"]
    assert other.status_code == 500


@pytest.mark.parametrize("service", ["ingest", "bridge", "monitor", "notifier"])
def test_every_service_says_that_it_needs_postgres(service: str) -> None:
    folder = Path(__file__).parents[3] / "services" / service
    assert "needs=POSTGRES" in "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
