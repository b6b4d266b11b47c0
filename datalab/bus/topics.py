"""Creating and altering topics as `schemas/topics.yaml` says, and asking whether a broker answers."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas.catalog import TopicSpec

_HOUR_MS = 3_600_000


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
    """Create what is missing, add partitions and set retention where they differ; returns the names created.

    Idempotent, and safe to run from several processes at once. Partitions are never taken away.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        existing = {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics() if not t["error_code"]}
        missing = [spec for spec in specs if spec.name not in existing]
        await _create(admin, missing)
        await _alter(admin, [spec for spec in specs if spec.name in existing], existing)
        return [spec.name for spec in missing]
    finally:
        await admin.close()


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


async def _alter(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], partitions: dict[str, int]) -> None:
    grown = {s.name: NewPartitions(s.partitions) for s in specs if s.partitions > partitions[s.name]}
    if grown:
        await admin.create_partitions(grown)
    if specs:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, s.name, _configs(s)) for s in specs])


def _configs(spec: TopicSpec) -> dict[str, str]:
    hours = spec.retention_hours
    return {"cleanup.policy": spec.cleanup, "retention.ms": str(hours * _HOUR_MS if hours >= 0 else -1)}
