"""The messages of the AsyncAPI document: event types, what is no event of ours, headers, and the schemas they share."""

from __future__ import annotations

from typing import Any

from schemas.catalog import EVENT_TYPES
from schemas.envelope import EventData
from schemas.generation.examples import examples, headers
from schemas.generation.json_schemas import schema_of

# Version of AsyncAPI's Kafka bindings.
BINDING = "0.5.0"
_HEADERS = {
    "ce_specversion": ("Version of CloudEvents", "1.0"),
    "ce_id": ("Identifies the event; the same cause gives the same id, so a repeat is recognisable", None),
    "ce_source": ("Who wrote it", None),
    "ce_type": ("The event type, which says what the data is", None),
    "ce_time": ("When it happened, RFC 3339", None),
    "ce_subject": ("What it is about", None),
    "ce_causationid": ("Id of the event that caused it directly", None),
    "ce_correlationid": ("Id of the first event of its chain", None),
    "ce_traceparent": ("W3C trace context", None),
    "content-type": ("Media type of the value", "application/json"),
}
_REQUIRED = ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type")
# By topic, the message of those that carry other things than the lab's events.
FOREIGN = {
    "lab.s3-notifications": ("s3-notification", "What an S3 store sends about its buckets, in its own JSON"),
    "lab.prefect-events": ("prefect-event", "An event of Prefect's server, in its own JSON"),
    "lab.dead-letters": (
        "dead-letter",
        "The original record as it was; `dlq_*` and `__connect.errors.*` headers say where it was and why it is here",
    ),
}


def components() -> dict[str, Any]:
    """The document's components; channels refer to messages by event type, by the names in FOREIGN, or `user-event`."""
    return {
        "messages": {
            **{type_: _message(model) for type_, model in EVENT_TYPES.items()},
            **{name: {"name": name, "summary": about} for name, about in FOREIGN.values()},
            "user-event": _user_message(),
        },
        "messageTraits": {"cloudevent": {"headers": _trait_headers()}},
        "schemas": {
            name: _relocated(schema)
            for model in EVENT_TYPES.values()
            for name, schema in schema_of(model).get("$defs", {}).items()
        },
    }


def _message(model: type[EventData]) -> dict[str, Any]:
    return {
        "name": model.type,
        "summary": " ".join((model.__doc__ or "").split()),
        "contentType": "application/json",
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "traits": [{"$ref": "#/components/messageTraits/cloudevent"}],
        "payload": _relocated({k: v for k, v in schema_of(model).items() if k not in {"$schema", "$id", "$defs"}}),
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": BINDING}},
        "examples": [
            {"name": example.name, "headers": headers(example.event), "payload": example.event["data"]}
            for example in examples(model.type)
        ],
    }


def _trait_headers() -> dict[str, Any]:
    properties = {
        name: {"type": "string", "description": about} | ({"const": value} if value else {})
        for name, (about, value) in _HEADERS.items()
    }
    return {"type": "object", "properties": properties, "required": list(_REQUIRED)}


def _relocated(node: Any) -> Any:
    """Definitions of a schema stand among the document's components here."""
    if isinstance(node, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _relocated(value)
            for key, value in node.items()
        }
    return [_relocated(item) for item in node] if isinstance(node, list) else node


def _user_message() -> dict[str, Any]:
    return {
        "name": "user-event",
        "summary": "An event of a user's own type; its data fits the JSON Schema that GET /v1/schemas/{type} shows",
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudevent"}],
        "payload": {"type": "object"},
    }
