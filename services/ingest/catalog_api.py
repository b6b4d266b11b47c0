"""`GET /v1/topics` and `GET /v1/schemas`: what can be published, and how it must look."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from datalab.runtime.web import Problem
from datalab.store.tables.ingest_api import UserSchemaRow
from schemas.catalog import EVENT_TYPES, TopicSpec, is_user_type, model_for, topic_for, topics, user_topic
from services.ingest.user_types import UserTypes

SCHEMA = "application/schema+json"
Version = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Of a user's type; default: the newest")]


def catalog_router(types: UserTypes) -> APIRouter:
    """The router of this module."""
    router = APIRouter(tags=["catalogue"])

    @router.get("/v1/topics", summary="Every topic, with the event types on it")
    async def get_topics() -> dict[str, Any]:
        users = [_topic(user_topic(type_), [type_]) for type_, _ in await types.newest()]
        return {"topics": [_topic(topic, _types_on(topic.name)) for topic in topics()] + users}

    @router.get("/v1/schemas", summary="Every event type")
    async def get_schemas() -> dict[str, Any]:
        users = [_users_entry(type_, version) for type_, version in await types.newest()]
        return {"schemas": [_entry(type_) for type_ in sorted(EVENT_TYPES)] + users}

    @router.get(
        "/v1/schemas/{type}",
        summary="JSON Schema of an event type's data",
        responses={404: {"description": "Unknown type or version"}},
    )
    async def get_schema(type: str, version: Version = None) -> JSONResponse:  # noqa: A002 - the path's own word
        if type in EVENT_TYPES and version is None:
            return JSONResponse(_schema(type), media_type=SCHEMA)
        rows = await types.versions(type) if is_user_type(type) else []
        return _users_schema(type, rows, version)

    return router


def _users_schema(type_: str, rows: Sequence[UserSchemaRow], version: int | None) -> JSONResponse:
    chosen = next((row for row in rows if row.version == version), None) if version else rows[-1] if rows else None
    if chosen is None:
        known = [row.version for row in rows]
        detail = f"{type_!r} has no version {version}" if known else f"there is no event type {type_!r}"
        about: dict[str, Any] = {"versions": known} if known else {"known_types": sorted(EVENT_TYPES)}
        raise Problem(404, "Unknown event type", detail, **about)
    headers = {"Schema-Version": str(chosen.version), "Schema-Versions": ",".join(str(row.version) for row in rows)}
    return JSONResponse(chosen.schema, media_type=SCHEMA, headers=headers)


def _topic(spec: TopicSpec, types: list[str]) -> dict[str, Any]:
    return {**spec.model_dump(), "types": types}


def _types_on(topic: str) -> list[str]:
    return sorted(type_ for type_, model in EVENT_TYPES.items() if model.topic == topic)


def _entry(type_: str) -> dict[str, Any]:
    model = EVENT_TYPES[type_]
    about = (model.__doc__ or "").strip()
    return {"type": type_, "topic": model.topic, "description": about, "schema": f"/v1/schemas/{type_}"}


def _users_entry(type_: str, version: int) -> dict[str, Any]:
    versions = list(range(1, version + 1))
    return {"type": type_, "topic": topic_for(type_), "versions": versions, "schema": f"/v1/schemas/{type_}"}


@cache
def _schema(type_: str) -> dict[str, Any]:
    schema = model_for(type_).model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"/v1/schemas/{type_}", **schema}
