"""Creating and altering topics as `schemas/topics.yaml` says, and asking whether a broker answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidPartitionsError, KafkaError, TopicAlreadyExistsError, for_code

from datalab.bus.admin import admin_client
from schemas.catalog import TopicSpec

_HOUR_MS = 3_600_000
# Where a broker says that a setting comes from: neither its default nor the cluster's.
_SET_FOR_TOPIC = 1


class TopicLayoutError(ValueError):
    """Topics have more partitions than their specs say. Kafka takes none away; the message says what to do."""

    def __init__(self, specs: Sequence[TopicSpec], partitions: Mapping[str, int]) -> None:
        told = [f"{s.name} has {partitions[s.name]} partitions, its spec says {s.partitions}" for s in specs]
        remedy = "partitions are never taken away: write the number there is, or make a topic of another name"
        super().__init__(f"{'; '.join(told)}; {remedy}")


async def broker_ready(bootstrap: str) -> str | None:
    """None if the broker answers a metadata request with at least one broker, else the reason."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=3000)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
    except (KafkaError, OSError) as error:
        return f"{type(error).__name__}: {error}"[:300]
    finally:
        await admin.close()
    return None if cluster.get("brokers") else "the cluster has no broker"


async def ensure_topics(bootstrap: str, specs: Sequence[TopicSpec]) -> list[str]:
    """Create what is missing, add partitions, set retention and cleanup where they differ; returns the names created.

    Idempotent, and safe to run from several processes at once. Settings that a spec does not name stay as they are.
    Raises TopicLayoutError, before anything is changed, if a topic has more partitions than its spec says.
    """
    async with admin_client(bootstrap) as admin:
        existing = await _partitions(admin)
        present = [spec for spec in specs if spec.name in existing]
        if larger := [spec for spec in present if existing[spec.name] > spec.partitions]:
            raise TopicLayoutError(larger, existing)
        missing = [spec for spec in specs if spec.name not in existing]
        await _create(admin, missing)
        await _grow(admin, present, existing)
        await _alter(admin, present)
        return [spec.name for spec in missing]


async def create_missing(bootstrap: str, specs: Sequence[TopicSpec]) -> list[str]:
    """Create what is missing and leave the others as they are; returns the names created."""
    async with admin_client(bootstrap) as admin:
        existing = await _partitions(admin)
        missing = [spec for spec in specs if spec.name not in existing]
        await _create(admin, missing)
        return [spec.name for spec in missing]


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    return {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics() if not t["error_code"]}


async def _create(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    if not specs:
        return
    answer = await admin.create_topics([_new_topic(spec) for spec in specs])
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"cannot create topic {name}")


def _new_topic(spec: TopicSpec) -> NewTopic:
    topic = NewTopic(spec.name, spec.partitions, replication_factor=1, topic_configs=_configs(spec))
    # -1 is the broker's own default; the constructor refuses it.
    topic.replication_factor = -1
    return topic


async def _grow(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], partitions: dict[str, int]) -> None:
    for spec in specs:
        if spec.partitions > partitions[spec.name]:
            try:
                await admin.create_partitions({spec.name: NewPartitions(spec.partitions)})
            except InvalidPartitionsError:  # another process was quicker
                if (await _partitions(admin))[spec.name] < spec.partitions:
                    raise


async def _alter(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    """Kafka takes the settings of a topic as a whole, so those that the spec does not name are handed back."""
    own = await _own_settings(admin, specs)
    changed = [
        ConfigResource(ConfigResourceType.TOPIC, spec.name, own[spec.name] | _configs(spec))
        for spec in specs
        if own[spec.name] | _configs(spec) != own[spec.name]
    ]
    for answer in await admin.alter_configs(changed) if changed else ():
        for code, message, _, name in answer.resources:
            if code:
                raise for_code(code)(f"cannot alter topic {name}: {message}")


async def _own_settings(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> dict[str, dict[str, str]]:
    """By topic, what was set for it alone."""
    if not specs:
        return {}
    found = {}
    for answer in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, s.name) for s in specs]):
        for code, message, _, name, entries in answer.resources:
            if code:
                raise for_code(code)(f"cannot read the settings of topic {name}: {message}")
            found[name] = {entry[0]: entry[1] for entry in entries if entry[3] == _SET_FOR_TOPIC}
    return found


def _configs(spec: TopicSpec) -> dict[str, str]:
    hours = spec.retention_hours
    return {"cleanup.policy": spec.cleanup, "retention.ms": str(hours * _HOUR_MS if hours >= 0 else -1)}
