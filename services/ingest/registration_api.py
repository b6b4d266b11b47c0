"""`PUT /v1/schemas/{type}`: users register JSON Schemas of their own event types, a version each time one changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from datalab.runtime.logs import get_logger
from datalab.runtime.web import Problem
from schemas.catalog import is_user_type, topic_for
from schemas.user_types import SIZE_LIMIT
from services.ingest.acceptance import invalid
from services.ingest.body import parse_json, read_body, unstorable
from services.ingest.budget import Budget
from services.ingest.events_openapi import PROBLEMS
from services.ingest.senders import Gate
from services.ingest.user_types import IncompatibleError, UserTypes

log = get_logger(__name__)
# Creates the topic of a user's type where it is missing. Raises OSError while the broker is away.
EnsureTopic = Callable[[str], Awaitable[None]]
# Told, and judged below: the answer says more than that a pattern does not fit.
Name = Annotated[str, Path(json_schema_extra={"pattern": "^[a-z0-9]+([.][a-z0-9-]+)+$", "maxLength": 200})]
_OPENAPI: dict[str, Any] = {
    "responses": {
        200: {"description": "It is the newest version already"},
        201: {"description": "A new version"},
        409: {"description": "Not compatible with an earlier version; `errors` names each break"},
        **PROBLEMS,
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/schema+json": {"schema": {"type": "object"}},
                "application/json": {"schema": {"type": "object"}},
            },
        }
    },
}


def registration_router(
    gate: Gate, types: UserTypes, ensure_topic: EnsureTopic, budget: Budget, timeout_s: float
) -> APIRouter:
    """The router of this module. `timeout_s` is how long a body may take."""
    router = APIRouter(tags=["catalogue"])

    @router.put("/v1/schemas/{type}", summary="Register the JSON Schema of a type of your own", **_OPENAPI)
    async def put_schema(type: Name, request: Request) -> JSONResponse:  # noqa: A002 - the path's own word
        sender = await gate.admit(request)
        if not is_user_type(type):
            raise invalid([f"type: {type!r} must be words of a-z, 0-9 and - between dots, and not begin with lab."])
        if not sender.may_register(type):
            raise _forbidden(type)
        with budget.hold() as held:
            schema = schema_of(await read_body(request, SIZE_LIMIT, timeout_s, held))
        try:
            known, new = await types.register(type, schema, lambda: _created(type, ensure_topic))
        except IncompatibleError as error:
            errors = [{"field": one.field, "reason": str(one)} for one in error.breaks]
            detail = f"the schema breaks with earlier versions of {type}: {error}"
            raise Problem(409, "Incompatible schema", detail, errors=errors) from error
        except ValueError as error:
            raise invalid([str(error)]) from error
        if new:
            log.info("schema.registered", type=type, version=known.version, sender=sender.name)
        body = {"type": type, "version": known.version, "topic": topic_for(type), "schema": f"/v1/schemas/{type}"}
        return JSONResponse(body, 201 if new else 200)

    return router


def schema_of(body: bytes) -> dict[str, Any]:
    """The JSON Schema in a body; raises Problem 400 or 422. Whether it is a valid one is not judged here."""
    schema = parse_json(body)
    if not isinstance(schema, dict):
        raise invalid(["schema: must be a JSON object"])
    if fault := unstorable(schema, "schema"):
        raise invalid([fault])
    return schema


async def _created(type_: str, ensure_topic: EnsureTopic) -> None:
    try:
        await ensure_topic(type_)
    except OSError as error:
        detail = f"Kafka does not create {topic_for(type_)} at the moment; nothing was registered, try again"
        raise Problem(503, "Service Unavailable", detail, headers={"Retry-After": "5"}) from error


def _forbidden(type_: str) -> Problem:
    reason = f"the token has no scope schemas:{type_}"
    headers = {"WWW-Authenticate": 'Bearer realm="datalab", error="insufficient_scope"'}
    return Problem(403, "Forbidden", reason, errors=[{"field": "type", "reason": reason}], headers=headers)
