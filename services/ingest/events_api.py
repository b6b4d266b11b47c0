"""`POST /v1/events`: CloudEvents over HTTP in structured, batch and binary mode."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from datalab.runtime.clock import Clock
from datalab.runtime.web import Problem
from schemas.codec import BATCH, STRUCTURED
from services.ingest.acceptance import accept, attributes_of, media_type
from services.ingest.body import parse_json, read_body
from services.ingest.intake import RETRY_AFTER_S, Intake
from services.ingest.metrics import EVENTS

EVENT_LIMIT = 1024 * 1024
BATCH_LIMIT = 8 * 1024 * 1024
BATCH_EVENTS = 5000
_EXAMPLE = {
    "specversion": "1.0",
    "type": "lab.metric.sampled.v1",
    "source": "docs",
    "id": "e1",
    "data": {"of": "silver.stocks", "name": "rows", "value": 12154, "unit": "1"},
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            STRUCTURED: {"schema": {"type": "object"}, "example": _EXAMPLE},
            BATCH: {"schema": {"type": "array", "items": {"type": "object"}}, "example": [_EXAMPLE]},
            "application/json": {
                "schema": {"type": "object"},
                "description": "binary mode, attributes in ce-* headers",
            },
        },
    }
}


class Accepted(BaseModel):
    """Where an acknowledged event is."""

    id: str
    type: str
    topic: str
    partition: int
    offset: int


def events_router(intake: Intake, clock: Clock, body_timeout_s: float) -> APIRouter:
    """The router of this module."""
    router = APIRouter(tags=["events"])

    @router.post(
        "/v1/events",
        status_code=202,
        summary="Publish one event, or a batch",
        response_model=None,
        openapi_extra=_BODY,
        responses={
            202: {"model": Accepted, "description": "Acknowledged by Kafka. For a batch: `results`, one per event"},
            207: {"description": "A batch of which some events were refused; see `results`"},
            400: {"description": "Malformed JSON"},
            413: {"description": "More than 1 MiB per event, or 8 MiB or 5,000 events per batch"},
            415: {"description": "Not a CloudEvents content type"},
            422: {"description": "Not an event of a known type; `errors` names the fields"},
            503: {"description": "Kafka is away or slow; see Retry-After"},
        },
    )
    async def post_events(request: Request) -> JSONResponse:
        if media_type(request.headers) == BATCH:
            entries = parse_json(await _read(request, BATCH_LIMIT))
            return await _publish_batch(entries, request.url.path)
        body = await _read(request, EVENT_LIMIT)
        return JSONResponse(await _publish(lambda: attributes_of(request.headers, body)), 202)

    async def _read(request: Request, limit: int) -> bytes:
        try:
            return await read_body(request, limit, body_timeout_s)
        except Problem:
            EVENTS.labels("refused").inc()
            raise

    async def _publish(attributes: Any) -> dict[str, Any]:
        try:
            event = accept(attributes() if callable(attributes) else attributes, clock.now())
        except Problem:
            EVENTS.labels("refused").inc()
            raise
        ref = await intake.publish(event)
        return Accepted(id=event.id, type=event.type, **ref._asdict()).model_dump()

    async def _publish_batch(entries: Any, path: str) -> JSONResponse:
        if not isinstance(entries, list):
            raise Problem(422, "Invalid batch", "a batch must be a JSON array of events")
        if len(entries) > BATCH_EVENTS:
            raise Problem(413, "Content Too Large", f"a batch may hold {BATCH_EVENTS} events, this one {len(entries)}")
        outcomes = await asyncio.gather(*(_publish(entry) for entry in entries), return_exceptions=True)
        return _batch_answer(entries, outcomes, path)

    return router


def _batch_answer(entries: list[Any], outcomes: list[dict[str, Any] | BaseException], path: str) -> JSONResponse:
    """202 if all were accepted, 207 if some were, else the status of the first refusal."""
    results = [
        _result(index, entry, outcome) for index, (entry, outcome) in enumerate(zip(entries, outcomes, strict=True))
    ]
    refused = [result for result in results if result["status"] != 202]
    body: dict[str, Any] = {"accepted": len(results) - len(refused), "refused": len(refused), "results": results}
    retry = {"Retry-After": str(RETRY_AFTER_S)} if any(result["status"] == 503 for result in refused) else {}
    if not refused:
        return JSONResponse(body, 202)
    if body["accepted"]:
        return JSONResponse(body, 207, headers=retry)
    status = 503 if retry else 422
    problem = Problem(status, "No event of the batch was accepted", refused[0]["detail"], headers=retry or None, **body)
    return problem.response(path)


def _result(index: int, entry: Any, outcome: dict[str, Any] | BaseException) -> dict[str, Any]:
    if isinstance(outcome, dict):
        return {"index": index, "status": 202, **outcome}
    if not isinstance(outcome, Problem):
        raise outcome
    given = entry.get("id") if isinstance(entry, dict) else None
    errors = {"errors": outcome.extra["errors"]} if "errors" in outcome.extra else {}
    about = {"id": given} if isinstance(given, str) else {}
    return {
        "index": index,
        "status": outcome.status,
        **about,
        "title": outcome.title,
        "detail": outcome.detail,
        **errors,
    }
