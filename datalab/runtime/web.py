"""The HTTP face that all services share: health, metrics, OpenAPI and RFC 9457 problems."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from starlette.exceptions import HTTPException

from datalab.runtime.health import CheckResult, Health
from datalab.runtime.logs import get_logger

log = get_logger(__name__)
PROBLEM = "application/problem+json"
HEALTH = "application/health+json"
_RETRY_AFTER_S = 5


class Problem(Exception):  # noqa: N818 - RFC 9457's own word
    """An answer that is not a success. `detail` says which field or thing, why, and what to do."""

    def __init__(self, status: int, title: str, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.extra = status, title, detail, extra

    def response(self, instance: str) -> JSONResponse:
        """The problem as an answer to a request for `instance`."""
        extra = {name: value for name, value in self.extra.items() if name != "headers"}
        body = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            **extra,
        }
        return JSONResponse(body, self.status, media_type=PROBLEM, headers=self.extra.get("headers"))


class Dependency(NamedTuple):
    """Something that requests need and that may be away. Errors of the `kinds` are looked at by `is_away`: those that
    it says are an outage are answered with 503, the others stay faults of ours."""

    name: str
    kinds: tuple[type[Exception], ...]
    is_away: Callable[[Exception], bool]


def create_app(
    service: str, health: Health, *, needs: Dependency | None = None, version: str = "1", description: str = ""
) -> FastAPI:
    """A FastAPI application with the endpoints of every service; routers of the service are added by its app."""
    app = FastAPI(title=f"DataFlow Lab {service}", version=version, description=description)
    _add_health(app, service, health)
    _add_problems(app)
    if needs is not None:
        _add_outage(app, needs)
    return app


def _add_health(app: FastAPI, service: str, health: Health) -> None:
    @app.get("/livez", tags=["health"], summary="Whether the process answers")
    async def livez() -> JSONResponse:
        return JSONResponse({"status": "pass", "serviceId": service}, media_type=HEALTH)

    @app.get("/readyz", tags=["health"], summary="Whether the service can do its work")
    async def readyz(verbose: str | None = None) -> JSONResponse:
        results = await health.results()
        states = {result.name: _state(result) for result in results}
        failed = "fail" in states.values()
        worst = "fail" if failed else "warn" if "warn" in states.values() else "pass"
        body: dict[str, Any] = {"status": worst, "serviceId": service}
        shown = [r for r in results if verbose is not None or states[r.name] != "pass"]
        if shown:
            body["checks"] = {
                r.name: [{"status": states[r.name], "output": r.reason or r.concern or "ok"}] for r in shown
            }
        return JSONResponse(body, 503 if failed else 200, media_type=HEALTH)

    @app.get("/metrics", tags=["health"], summary="Prometheus metrics", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


def _state(result: CheckResult) -> str:
    if not result.passed:
        return "fail"
    return "warn" if result.concern else "pass"


def _add_problems(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> JSONResponse:
        return error.response(request.url.path)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [{"field": ".".join(map(str, e["loc"])), "reason": e["msg"]} for e in error.errors()]
        detail = "; ".join(f"{e['field']}: {e['reason']}" for e in errors)
        return Problem(422, "Invalid request", detail, errors=errors).response(request.url.path)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        title = HTTPStatus(error.status_code).phrase
        return Problem(error.status_code, title, str(error.detail), headers=error.headers).response(request.url.path)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        return _unexpected(request, error)


def _add_outage(app: FastAPI, dependency: Dependency) -> None:
    async def away(request: Request, error: Exception) -> JSONResponse:
        if not dependency.is_away(error):
            return _unexpected(request, error)
        log.warning("request.unavailable", path=request.url.path, needs=dependency.name, reason=type(error).__name__)
        detail = f"{dependency.name} does not answer at the moment; try again"
        headers = {"Retry-After": str(_RETRY_AFTER_S)}
        return Problem(503, "Service Unavailable", detail, headers=headers).response(request.url.path)

    for kind in dependency.kinds:
        app.add_exception_handler(kind, away)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("request.failed", path=request.url.path, exc_info=error)
    detail = "an unexpected error; the service's log has the details"
    return Problem(500, "Internal Server Error", detail).response(request.url.path)
