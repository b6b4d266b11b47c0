"""The AsyncAPI 3.0 document: topics as channels, who sends and receives as operations, event types as messages."""

from __future__ import annotations

from typing import Any

import yaml

from schemas.catalog import EVENT_TYPES, TopicSpec, topics
from schemas.envelope import EventData
from schemas.generation.examples import examples, headers
from schemas.generation.json_schemas import schema_of

_BINDING = "0.5.0"
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
_FOREIGN = {
    "lab.s3-notifications": ("s3-notification", "What an S3 store sends about its buckets, in its own JSON"),
    "lab.dead-letters": (
        "dead-letter",
        "The original record as it was; `dlq_*` headers say where it was and why it is here",
    ),
}
_ABOUT = """\
Every event is a CloudEvent 1.0, written in Kafka's binary mode and read in both modes. Events may be repeated: tell by
`ce_id`. Generated from the models in `schemas/` and from `schemas/topics.yaml` by `make contracts`.
"""


class _Dumper(yaml.SafeDumper):
    """No anchors: each part is written out where it stands."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def as_text() -> str:
    """The document as it is written to `asyncapi.yaml`."""
    return yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def document() -> dict[str, Any]:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "DataFlow Lab events", "version": "1.0.0", "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": {"local": {"host": "localhost:9092", "protocol": "kafka", "description": "The lab on one machine"}},
        "channels": {topic.name: _channel(topic) for topic in topics()},
        "operations": {name: operation for topic in topics() for name, operation in _operations(topic).items()},
        "components": {
            "messages": {
                **{type_: _message(model) for type_, model in EVENT_TYPES.items()},
                **{name: {"name": name, "summary": about} for name, about in _FOREIGN.values()},
            },
            "messageTraits": {"cloudevent": {"headers": _trait_headers()}},
            "schemas": {
                name: _relocated(schema)
                for model in EVENT_TYPES.values()
                for name, schema in schema_of(model).get("$defs", {}).items()
            },
        },
    }


def _channel(topic: TopicSpec) -> dict[str, Any]:
    names = [type_ for type_, model in EVENT_TYPES.items() if model.topic == topic.name]
    if topic.name in _FOREIGN:
        names.append(_FOREIGN[topic.name][0])
    hours = topic.retention_hours
    configuration = {"cleanup.policy": [topic.cleanup], "retention.ms": hours * 3_600_000 if hours >= 0 else -1}
    return {
        "address": topic.name,
        "description": f"{topic.description}. Keyed by {topic.key}. Owned by {topic.owner}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": configuration,
                "bindingVersion": _BINDING,
            }
        },
    }


def _operations(topic: TopicSpec) -> dict[str, Any]:
    return {
        f"{name.replace(' ', '-')}.{action}.{topic.name}": {
            "action": action,
            "summary": f"{name} {verb} {topic.name}",
            "tags": [{"name": name}],
            "channel": {"$ref": f"#/channels/{topic.name}"},
        }
        for action, verb, names in (
            ("send", "writes to", topic.producers),
            ("receive", "reads from", topic.consumers),
        )
        for name in names
    }


def _message(model: type[EventData]) -> dict[str, Any]:
    return {
        "name": model.type,
        "summary": " ".join((model.__doc__ or "").split()),
        "contentType": "application/json",
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "traits": [{"$ref": "#/components/messageTraits/cloudevent"}],
        "payload": _relocated({k: v for k, v in schema_of(model).items() if k not in {"$schema", "$id", "$defs"}}),
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": _BINDING}},
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
