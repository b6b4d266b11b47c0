"""What OpenAPI says about `POST /v1/events`, whose body FastAPI does not read: its size is limited as it streams in."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from schemas.codec import BATCH, STRUCTURED


class Accepted(BaseModel):
    """Where an acknowledged event is."""

    id: str
    type: str
    topic: str
    partition: int
    offset: int


_EXAMPLE = {
    "specversion": "1.0",
    "type": "lab.metric.sampled.v1",
    "source": "docs",
    "id": "e1",
    "data": {"of": "silver.stocks", "name": "rows", "value": 12154, "unit": "1"},
}
_EVENT = {
    "type": "object",
    "required": ["specversion", "type", "source", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "type": {"type": "string"},
        "source": {"type": "string"},
        "id": {"type": "string"},
        "time": {"type": "string", "format": "date-time"},
        "subject": {"type": "string"},
        "data": {"type": "object"},
    },
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "A repeat within 7 days gets the first answer and publishes nothing",
}
_BINARY = [
    {"name": f"ce-{name}", "in": "header", "required": False, "schema": {"type": "string"}}
    for name in ("specversion", "type", "source", "id", "time", "subject")
]
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"description": "Malformed JSON, or a key that stands twice"},
    401: {"description": "No valid token; see WWW-Authenticate"},
    403: {"description": "The token has no scope for this"},
    408: {"description": "The body did not arrive in time"},
    413: {"description": "More than 1 MiB per event, or 8 MiB or 5,000 events per batch"},
    415: {"description": "Not a CloudEvents content type"},
    422: {"description": "Not an event of a known type; `errors` names the fields"},
    429: {"description": "More than this sender may; see Retry-After"},
    503: {"description": "Kafka or Postgres is away or slow; see Retry-After"},
}
POST_EVENTS: dict[str, Any] = {
    "status_code": 202,
    "responses": {
        202: {"model": Accepted, "description": "Acknowledged by Kafka. For a batch: `results`, one per event"},
        207: {"description": "A batch of which some events were refused; see `results`"},
        409: {"description": "The request with this Idempotency-Key is under way; see Retry-After"},
        **PROBLEMS,
    },
    "openapi_extra": {
        "parameters": [_KEY, *_BINARY],
        "requestBody": {
            "required": True,
            "content": {
                STRUCTURED: {"schema": _EVENT, "example": _EXAMPLE},
                BATCH: {"schema": {"type": "array", "items": _EVENT, "maxItems": 5000}, "example": [_EXAMPLE]},
                "application/json": {
                    "schema": {"type": "object"},
                    "description": "binary mode, attributes in ce-* headers",
                },
            },
        },
    },
}
