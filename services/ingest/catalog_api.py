"""`GET /v1/topics` and `GET /v1/schemas`: what can be published, and how it must look."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from datalab.runtime.web import Problem
from schemas.catalog import EVENT_TYPES, UnknownEventTypeError, model_for, topics

SCHEMA = "application/schema+json"


def catalog_router() -> APIRouter:
    """The router of this module."""
    router = APIRouter(tags=["catalogue"])

    @router.get("/v1/topics", summary="Every topic, with the event types on it")
    async def get_topics() -> dict[str, Any]:
        return {"topics": [{**topic.model_dump(), "types": _types_on(topic.name)} for topic in topics()]}

    @router.get("/v1/schemas", summary="Every event type")
    async def get_schemas() -> dict[str, Any]:
        return {"schemas": [_entry(type_) for type_ in sorted(EVENT_TYPES)]}

    @router.get(
        "/v1/schemas/{type}",
        summary="JSON Schema of an event type's data",
        responses={404: {"description": "Unknown type"}},
    )
    async def get_schema(type: str) -> JSONResponse:  # noqa: A002 - the path's own word
        try:
            return JSONResponse(_schema(type), media_type=SCHEMA)
        except UnknownEventTypeError as error:
            raise Problem(404, "Unknown event type", str(error), known_types=sorted(EVENT_TYPES)) from error

    return router


def _types_on(topic: str) -> list[str]:
    return sorted(type_ for type_, model in EVENT_TYPES.items() if model.topic == topic)


def _entry(type_: str) -> dict[str, str]:
    model = EVENT_TYPES[type_]
    return {
        "type": type_,
        "topic": model.topic,
        "description": (model.__doc__ or "").strip(),
        "schema": f"/v1/schemas/{type_}",
    }


@cache
def _schema(type_: str) -> dict[str, Any]:
    schema = model_for(type_).model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"/v1/schemas/{type_}", **schema}
