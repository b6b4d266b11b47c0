"""The AsyncAPI 3.0 document: topics as channels, who sends and receives as operations, event types as messages."""

from __future__ import annotations

from typing import Any

import yaml

from schemas.catalog import EVENT_TYPES, USER_TOPICS, TopicSpec, topics
from schemas.generation.messages import BINDING, FOREIGN, components

_USERS = USER_TOPICS.rstrip(".")
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
        "channels": {**{topic.name: _channel(topic) for topic in topics()}, _USERS: _user_channel()},
        "operations": {
            **{name: operation for topic in topics() for name, operation in _operations(topic).items()},
            f"ingest.send.{_USERS}": _operation("send", "ingest", "writes to", _USERS),
        },
        "components": components(),
    }


def _channel(topic: TopicSpec) -> dict[str, Any]:
    names = [type_ for type_, model in EVENT_TYPES.items() if model.topic == topic.name]
    if topic.name in FOREIGN:
        names.append(FOREIGN[topic.name][0])
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
                "bindingVersion": BINDING,
            }
        },
    }


def _operations(topic: TopicSpec) -> dict[str, Any]:
    return {
        f"{name.replace(' ', '-')}.{action}.{topic.name}": _operation(action, name, verb, topic.name)
        for action, verb, names in (
            ("send", "writes to", topic.producers),
            ("receive", "reads from", topic.consumers),
        )
        for name in names
    }


def _operation(action: str, who: str, verb: str, channel: str) -> dict[str, Any]:
    return {
        "action": action,
        "summary": f"{who} {verb} {channel}",
        "tags": [{"name": who}],
        "channel": {"$ref": f"#/channels/{channel}"},
    }


def _user_channel() -> dict[str, Any]:
    return {
        "address": f"{USER_TOPICS}{{type}}",
        "description": "Events of the users' own types, one topic each. Keyed by the event's subject.",
        "parameters": {"type": {"description": "A type that was registered with PUT /v1/schemas/{type} of ingest"}},
        "messages": {"user-event": {"$ref": "#/components/messages/user-event"}},
    }
